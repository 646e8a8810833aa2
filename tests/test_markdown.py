import pytest

from mmbeit3.markdown import markdown_table


def test_table():
    table = markdown_table([["model", "AP | AR"], ["a|b", "1"], ["", "20"]], right=[1])
    assert table == "| model | AP / AR |\n|---|---:|\n| a/b | 1 |\n|  | 20 |\n"


def test_faulty_rows():
    with pytest.raises(ValueError, match="needs a header"):
        markdown_table([])
    with pytest.raises(ValueError, match="row 1 of a Markdown table has 1 cells, but its header has 2"):
        markdown_table([["a", "b"], ["1"]])
