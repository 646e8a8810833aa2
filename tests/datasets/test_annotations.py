import pytest

from mmbeit3.datasets.annotations import check_images_exist, get_field, read_json, read_json_lines, read_text
from mmbeit3.errors import UserError
from tests.datasets.made import image, write


def test_json(tmp_path):
    assert read_json(write(tmp_path / "a.json", {"x": 1})) == {"x": 1}
    for content, reason in [("{", "not JSON"), ("[1]", "contains a JSON list"), ("\x00", "not JSON")]:
        with pytest.raises(UserError, match=f"b.json.*{reason}"):
            read_json(write(tmp_path / "b.json", content))
    # pycocotools cannot read these.
    for encoding in ("utf-8-sig", "utf-16"):
        (tmp_path / "c.json").write_text('{"x": 1}', encoding=encoding)
        assert read_json(tmp_path / "c.json") == {"x": 1}
        with pytest.raises(UserError, match=f"c.json' is encoded as {encoding.upper()}: save the file as UTF-8 without"):
            read_json(tmp_path / "c.json", strict=True)
    with pytest.raises(UserError, match=r"none\.json' cannot be read: No such file"):
        read_json(tmp_path / "none.json")


def test_json_lines_name_the_line(tmp_path):
    # A line separator inside of a string is no end of a line.
    path = write(tmp_path / "a.json", '{"x": "one\u2028two"}\n\n{"x": 2}\n')
    assert [entry["x"] for _, entry in read_json_lines(path)] == ["one\u2028two", 2]
    for content, reason in [('{"x": 1}\n{"x"', "line 2 is not JSON"), ("3\n", "line 1 contains a JSON int")]:
        with pytest.raises(UserError, match=reason):
            list(read_json_lines(write(tmp_path / "b.json", content)))


@pytest.mark.parametrize(
    ("entry", "reason"), [({}, "has no 'x'"), ({"x": None}, "'x' has the type NoneType"), ([], "has no 'x'")]
)
def test_fields(entry, reason):
    assert get_field({"x": "1"}, "x", str, "here") == "1"
    with pytest.raises(UserError, match=f"^here.*{reason}"):
        get_field(entry, "x", str, "here")


def test_images_that_are_missing(tmp_path):
    there = image(tmp_path / "a" / "1.png")
    check_images_exist([(str(there), "entry 0"), ("s3://bucket/x.png", "entry 1")])
    absent = [(str(tmp_path / "a" / "2.png"), "entry 1"), (str(tmp_path / "b" / "1.png"), "entry 2")]
    with pytest.raises(UserError, match=r"^entry 1: image '.*2\.png' does not exist \(1 other images"):
        check_images_exist([(str(there), "entry 0"), *absent])
    with pytest.raises(UserError, match=r"^entry 2: image '.*b/1\.png' does not exist: set"):
        check_images_exist(absent[1:])


def test_byte_order_marks(tmp_path):
    (tmp_path / "a.txt").write_text("a\n", encoding="utf-8-sig")
    assert read_text(tmp_path / "a.txt", "list", marked=True) == "a\n"
    with pytest.raises(UserError, match=r"list '.*a\.txt' begins with a byte-order mark: save the file as UTF-8 without one"):
        read_text(tmp_path / "a.txt", "list")
