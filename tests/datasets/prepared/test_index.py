"""The index of public data sets."""

import pytest

from mmbeit3.datasets.prepared import find_known, read_known
from mmbeit3.datasets.prepared.run import _CONVERSIONS
from mmbeit3.errors import UserError
from mmbeit3.resources import path_of

ENTRY = """Datasets:
- Name: one
  Title: t
  Source: https://example.org/one.zip
  Homepage: https://example.org
  License: MIT
  Terms: any
  Recipe: configs/mine/detection.py
  Metadata: {}
"""


def test_package_index():
    known = read_known()
    assert list(known) == list(_CONVERSIONS)
    for one in known.values():
        assert path_of(one.recipe).is_file()
        assert len(set(one.classes)) == len(one.classes) > 0
        # A pinned revision is in the URL, so that it cannot differ from it.
        assert one.revision is None or one.revision in one.sources[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("  License: MIT\n", ""), "'License' is missing"),
        (("{}", "{SHA-256: abc}"), "'SHA-256' must be 64 hexadecimal digits"),
        (("{}", "{Size: many}"), "'Size' must be int"),
        (("https://example.org/one.zip", "https://example.org/.."), "cannot be cached"),
        ((ENTRY, "Datasets: []\n"), "lists no data sets"),
        ((ENTRY, ENTRY + ENTRY.partition("\n")[2]), "more than one data set named 'one'"),
    ],
)
def test_invalid_entries(tmp_path, change, message):
    path = tmp_path / "index.yml"
    path.write_text(ENTRY)
    assert list(read_known(path)) == ["one"]
    path.write_text(ENTRY.replace(*change))
    with pytest.raises(UserError, match=message):
        read_known(path)


def test_unknown_names(tmp_path):
    with pytest.raises(UserError, match="did you mean nuclei"):
        find_known("nucleus")
    with pytest.raises(UserError, match="choose one of bccd, nuclei, camvid"):
        find_known("xyz")
    with pytest.raises(UserError, match="give --check"):
        find_known(str(tmp_path))
