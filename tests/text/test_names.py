"""Lists of answers and classes, and one-line errors for bad ones."""

import json

import pytest

from mmbeit3.errors import UserError
from mmbeit3.text.names import read_folders, read_names

NAMES = ("yes", "no", "tennis racket", "café", "a {")


def test_lists_plain_files_and_files_of_the_reference(tmp_path):
    plain, official = tmp_path / "plain.txt", tmp_path / "answer2label.txt"
    plain.write_text("\n".join(NAMES) + "\n\n", encoding="utf-8")
    lines = [json.dumps({"answer": name, "label": label}) for label, name in enumerate(NAMES)]
    official.write_text("\n".join(reversed(lines)), encoding="utf-8")
    for content in (b"\xef\xbb\xbf" + "\r\n".join(NAMES).encode(), json.dumps(NAMES, indent=1).encode()):
        (tmp_path / "other.txt").write_bytes(content)
        assert read_names(tmp_path / "other.txt", "answers") == NAMES
    assert read_names(list(NAMES), "answers") == read_names(plain, "answers") == read_names(str(official), "answers") == NAMES


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("yes\n\nno", "line 2 is empty"),
        ("", "line 1 is empty"),
        ("yes\nno\nyes", "'yes' occurs twice (line 1 and 3)"),
        ('["yes", "no", "yes"]', "'yes' occurs twice (name 1 and 3)"),
        ('["yes", " "]', "name 2 is blank"),
        ('["yes", 1]', "but not of strings"),
        ('["yes"', "begins like a JSON list but is not valid JSON"),
        ("[]", "the list is empty"),
        ('{"answer": "yes", "label": 1}\n{"answer": "yes", "label": 0}', "'yes' occurs twice (label 0 and 1)"),
        ("n1\tyes\nno", "line 2 is not 'FOLDER<tab>NAME'"),
        ("n1\tyes\nn1\tno", "folder 'n1' occurs twice"),
        ('{"answer": "yes", "label": 0}\nno', 'line 2 must be like {"answer": "yes", "label": 0}'),
        ('{"answer": "yes", "label": "0"}', "line 1 must be like"),
        ('{"answer": "yes", "label": 0}\n{"answer": "no", "label": 0}', "labels of its 2 lines must be 0 to 1, each once"),
        ('{"answer": "yes", "label": 1}', "labels of its 1 lines must be 0 to 0"),
    ],
)
def test_bad_files(tmp_path, text, reason):
    path = tmp_path / "answers.txt"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        read_names(path, "answers")
    message = str(caught.value)
    assert message.startswith(f"answers '{path}'")
    assert reason in message
    assert "\n" not in message


def test_no_file_no_text_no_names(tmp_path):
    with pytest.raises(UserError, match=r"class_names .*absent.txt' cannot be read \(No such file"):
        read_names(tmp_path / "absent.txt", "class_names")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="not UTF-8 text"):
        read_names(tmp_path / "bytes", "class_names")
    with pytest.raises(UserError, match="class_names: the list is empty"):
        read_names([], "class_names")
    for names, match in ((["a", "b", "a"], "'a' occurs twice"), (["a", ""], "name 2 is blank")):
        with pytest.raises(UserError, match=match):
            read_names(names, "class_names")


def test_names_of_folders(tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("n2\tcrane\nn1\tred fox\nn3\tcrane\n")
    assert read_names(path, "class_names") == ("red fox", "crane", "crane")
    assert read_folders(path) == ("n1", "n2", "n3")
    path.write_text("red fox\ncrane\n")
    assert read_folders(path) is read_folders(["a"]) is None
