"""Lists of answers and classes, and what is wrong with them in one line."""

import json

import pytest

from mmbeit3.errors import UserError
from mmbeit3.tasks.names import read_names

NAMES = ("yes", "no", "tennis racket", "café", "a {")


def test_lists_plain_files_and_files_of_the_reference(tmp_path):
    plain, official = tmp_path / "plain.txt", tmp_path / "answer2label.txt"
    plain.write_text("\n".join(NAMES) + "\n\n", encoding="utf-8")
    lines = [json.dumps({"answer": name, "label": label}) for label, name in enumerate(NAMES)]
    official.write_text("\n".join(reversed(lines)), encoding="utf-8")
    assert read_names(list(NAMES), "answers") == read_names(plain, "answers") == read_names(str(official), "answers") == NAMES


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("yes\n\nno", "line 2 is empty"),
        ("", "line 1 is empty"),
        ('{"answer": "yes", "label": 0}\nno', 'line 2 must be like {"answer": "yes", "label": 0}'),
        ('{"answer": "yes", "label": "0"}', "line 1 must be like"),
        ('{"answer": "yes", "label": 0}\n{"answer": "no", "label": 0}', "labels must be 0 to 1, each once"),
        ('{"answer": "yes", "label": 1}', "labels must be 0 to 0"),
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
    with pytest.raises(UserError, match="no UTF-8 text"):
        read_names(tmp_path / "bytes", "class_names")
    with pytest.raises(UserError, match="class_names: the list is empty"):
        read_names([], "class_names")
