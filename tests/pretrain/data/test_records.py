"""Opening records by kind and path, and the errors for paths that cannot be used."""

import pytest

from mmbeit3.errors import UserError
from mmbeit3.pretrain.data import ImageFolder, TarShards, TextFiles, open_records


@pytest.mark.parametrize("path", ["pipe:touch x", " pipe:touch x", "PIPE:touch x", "http://host/a.tar", "s3://bucket/a.tar"])
def test_addresses_are_refused(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="is refused"):
        TarShards(path, "pairs")
    for kind in ("images", "texts", "pairs"):
        with pytest.raises(UserError, match="is refused"):
            open_records(kind, path)
    with pytest.raises(UserError, match="is refused"):
        TarShards("{pipe,gone}:touch x", "pairs")
    assert not list(tmp_path.iterdir())


def test_nothing_to_read(tmp_path):
    (tmp_path / "blank.txt").write_text("\n \n")
    for make, match in (
        (lambda: ImageFolder(tmp_path), "no image"),
        (lambda: ImageFolder(tmp_path / "gone"), "image folder .* does not exist"),
        (lambda: TextFiles(tmp_path / "gone.txt"), "file .* does not exist"),
        (lambda: TextFiles(tmp_path / "blank.txt"), "no line of text"),
        (lambda: TextFiles([]), "no text files"),
        (lambda: TarShards(tmp_path / "gone-*.tar", "texts"), "no tar shard"),
        (lambda: TarShards([], "texts"), "no tar shards"),
        (lambda: open_records("videos", tmp_path), "unknown kind"),
        (lambda: open_records("texts", []), "no paths are given"),
        (lambda: open_records("texts", ["a.tar", "b.txt"]), "cannot be mixed"),
        (lambda: open_records("images", ["a", "b"]), "image folder 'a' does not exist"),
    ):
        with pytest.raises(UserError, match=match):
            make()
    with pytest.raises(ValueError, match="kind 'videos'"):
        TarShards("a.tar", "videos")
