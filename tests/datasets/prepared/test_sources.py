"""Folders and archives as sources."""

import stat
import zipfile

import pytest

from mmbeit3.datasets.prepared import sources
from mmbeit3.datasets.prepared.sources import is_safe_name, open_source
from mmbeit3.errors import UserError
from tests.datasets.prepared.made import tar_bytes, write_folder, zip_bytes

FILES = {"top/a.txt": b"first", "top/sub/b.txt": b"second", "top/c.bin": b"not needed", "top/._a.txt": b"hidden"}


def wanted(name):
    return name.endswith(".txt")


def write(path, content):
    path.write_bytes(content)
    return path


def copies(root):
    return {
        "folder": write_folder(root / "folder", FILES),
        "zip": write(root / "a.zip", zip_bytes(FILES)),
        "tar": write(root / "a.tar", tar_bytes(FILES, "w")),
        "tar.gz": write(root / "a.tar.gz", tar_bytes(FILES)),
        "tar.xz": write(root / "a.tar.xz", tar_bytes(FILES, "w:xz")),
        # GitHub's archives have no suffix in the cache of some clients.
        "zip without a suffix": write(root / "master", zip_bytes(FILES)),
    }


def test_all_kinds_have_the_same_files(tmp_path):
    for kind, path in copies(tmp_path).items():
        with open_source(path, wanted) as source:
            assert source.names == ("top/a.txt", "top/sub/b.txt"), kind
            assert source.read("top/sub/b.txt") == b"second"
            assert (source.path("top/a.txt") is not None) == (kind == "folder")
            with pytest.raises(UserError, match=r"has no 'top/none.txt': the copy is incomplete"):
                source.read("top/none.txt")


@pytest.mark.parametrize(
    "name", ["../evil.txt", "/evil.txt", "top/../../evil.txt", "top\\..\\evil.txt", "C:/evil.txt", "a\nb.txt"]
)
@pytest.mark.parametrize("pack", [zip_bytes, tar_bytes])
def test_paths_that_leave_the_archive_are_refused(tmp_path, name, pack):
    path = write(tmp_path / "evil", pack({**FILES, name: b"x"}))
    with pytest.raises(UserError, match="whose path leaves the archive's folder"), open_source(path, wanted):
        pass
    assert [one.name for one in tmp_path.iterdir()] == ["evil"]


def test_safe_names():
    assert is_safe_name("a/b..c/d.txt")
    assert not is_safe_name("")
    assert not is_safe_name("a/..")


def test_links_in_archives_are_left_out(tmp_path):
    tar = write(tmp_path / "a.tar.gz", tar_bytes({"top/a.txt": b"first"}, links=[("top/link.txt", "/etc/hostname")]))
    zipped = tmp_path / "a.zip"
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("top/a.txt", b"first")
        link = zipfile.ZipInfo("top/link.txt")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/hostname")
    for path in (tar, zipped):
        with open_source(path, wanted) as source:
            assert source.names == ("top/a.txt",)


@pytest.mark.parametrize("limit", ["LARGEST_FILE", "LARGEST_TOTAL", "MOST_MEMBERS"])
@pytest.mark.parametrize("pack", [zip_bytes, tar_bytes])
def test_limits(tmp_path, monkeypatch, limit, pack):
    monkeypatch.setattr(sources, limit, 3)
    path = write(tmp_path / "large", pack(FILES))
    with (
        pytest.raises(UserError, match={"MOST_MEMBERS": "more than 3 members"}.get(limit, "larger than the data set")),
        open_source(path, wanted),
    ):
        pass


def test_damaged_archives(tmp_path):
    zipped, tar, plain = zip_bytes(FILES), tar_bytes(FILES), tar_bytes(FILES, "w")
    for name, content in {
        "cut.zip": zipped[:-30],
        "page.html": b"<html>not found</html>",
        "cut.tar.gz": tar[:-20],
        "cut.tar": plain[:1100],
        # A damaged header in the middle: tarfile alone would take it for the end.
        "header.tar": plain[:1030] + b"\xff" * 20 + plain[1050:],
    }.items():
        path = write(tmp_path / name, content)
        with pytest.raises(UserError, match=r"is damaged|neither a folder nor a complete"), open_source(path, wanted):
            pass
    flipped = bytearray(zipped)
    flipped[zipped.index(b"second")] ^= 1
    with (
        open_source(write(tmp_path / "flipped.zip", flipped), wanted) as source,
        pytest.raises(UserError, match=r"'top/sub/b.txt' in .* cannot be read .*the copy is damaged"),
    ):
        source.read("top/sub/b.txt")


def test_missing_path(tmp_path):
    with pytest.raises(UserError, match="does not exist"), open_source(tmp_path / "none", wanted):
        pass
