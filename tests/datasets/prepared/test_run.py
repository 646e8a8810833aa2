"""The whole preparation: download, conversion, check, record; interruption and resumption."""

import shutil

import pytest
import yaml

from mmbeit3.datasets.inspection import inspect_folder
from mmbeit3.datasets.prepared import prepare_dataset, run, target
from mmbeit3.datasets.prepared.index import find_known
from mmbeit3.datasets.prepared.nuclei import split_of
from mmbeit3.errors import UserError
from tests.datasets.prepared import made
from tests.datasets.prepared.made import IDS, MADE, tar_bytes, write_folder, zip_bytes
from tests.downloads.server import Served

VAL = sum(split_of(one) == "val" for one in IDS)
COUNTS = {
    "bccd": {"train": 3, "val": 2},
    "nuclei": {"train": len(IDS) - VAL, "val": VAL},
    "camvid": {"train": 3, "val": 2},
}


def contents(root):
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", list(MADE))
def test_download_and_copies_give_the_same(published, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    done = prepare_dataset(name)
    assert done.splits == COUNTS[name]
    assert done.report.classes == find_known(name).classes
    record = yaml.safe_load((tmp_path / "data" / name / "source.yml").read_text())
    assert record["source"] == find_known(name).sources[0]
    assert (record["license"], record["images"], len(record["sha256"])) == (find_known(name).license, COUNTS[name], 64)
    made_files = contents(tmp_path / "data" / name)
    assert set(record["files"]) == made_files.keys() - {"source.yml"}
    # A folder of the publisher's layout, without the folders above it, and a tar archive.
    files = MADE[name]()
    write_folder(tmp_path / "copy", {key.partition("/")[2]: content for key, content in files.items()})
    (tmp_path / "copy.tar.gz").write_bytes(tar_bytes(files))
    for source in ("copy", "copy.tar.gz"):
        prepare_dataset(name, tmp_path / f"from_{source}", tmp_path / source)
        assert contents(tmp_path / f"from_{source}").keys() == made_files.keys()
        assert all(
            content == made_files[key] for key, content in contents(tmp_path / f"from_{source}").items() if key != "source.yml"
        )
    assert inspect_folder(tmp_path / "data" / name).faults == []


def test_second_call_writes_nothing(published, tmp_path):
    prepare_dataset("bccd", tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    requests = dict(published.requests)
    done = prepare_dataset("bccd", tmp_path / "out")
    assert (done.report, done.splits) == (None, COUNTS["bccd"])
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert requests == dict(published.requests)


@pytest.mark.parametrize("name", list(MADE))
@pytest.mark.parametrize("after", [0, 5])
def test_interruption_and_resumption(tmp_path, monkeypatch, name, after):
    (tmp_path / "copy.zip").write_bytes(zip_bytes(MADE[name]()))
    prepare_dataset(name, tmp_path / "whole", tmp_path / "copy.zip")
    written = []

    def interrupted(path, content):
        if len(written) == after:
            raise KeyboardInterrupt
        written.append(path)
        return original(path, content)

    original = target.write_atomically
    with monkeypatch.context() as patch:
        patch.setattr(target, "write_atomically", interrupted)
        with pytest.raises(KeyboardInterrupt, match="the same command continues"):
            prepare_dataset(name, tmp_path / "out", tmp_path / "copy.zip")
    assert not (tmp_path / "out" / run.RECORD).exists()
    before = {path: path.stat().st_mtime_ns for path in written}
    assert prepare_dataset(name, tmp_path / "out", tmp_path / "copy.zip").splits == COUNTS[name]
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    # What was written before is kept; `.parts` is deleted at the end.
    assert all(path.stat().st_mtime_ns == time for path, time in before.items() if ".parts" not in path.parts)


def test_an_unfinished_folder_does_not_take_another_copy(tmp_path, monkeypatch):
    for name in ("one", "two"):
        (tmp_path / f"{name}.zip").write_bytes(zip_bytes(made.voc(train=len(name))))
        write_folder(tmp_path / name, made.voc())
    with monkeypatch.context() as patch:
        patch.setattr(run, "inspect_folder", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            prepare_dataset("bccd", tmp_path / "out", tmp_path / "one.zip")
    with pytest.raises(UserError, match=r"was begun from '.*one.zip', and '.*two.zip' is another copy"):
        prepare_dataset("bccd", tmp_path / "out", tmp_path / "two.zip")
    # The same path with other bytes is another copy, too.
    shutil.copy(tmp_path / "one.zip", tmp_path / "kept.zip")
    (tmp_path / "one.zip").write_bytes(zip_bytes(made.voc(train=1)))
    with pytest.raises(UserError, match="another copy"):
        prepare_dataset("bccd", tmp_path / "out", tmp_path / "one.zip")
    shutil.copy(tmp_path / "kept.zip", tmp_path / "one.zip")
    prepare_dataset("bccd", tmp_path / "out", tmp_path / "one.zip")
    with pytest.raises(UserError, match=r"is complete, made from .*one.zip: delete it to take"):
        prepare_dataset("bccd", tmp_path / "out", tmp_path / "two.zip")


def test_missing_files_are_written_again(published, tmp_path):
    out, lines = tmp_path / "out", []
    prepare_dataset("camvid", out)
    before = contents(out)
    (out / "images" / "val" / "0003.jpg").unlink()
    (out / "annotations" / "train" / "0000.png").unlink()
    assert prepare_dataset("camvid", out, tell=lines.append).report is not None
    assert "has 2 missing files, such as 'annotations/train/0000.png'" in lines[0]
    assert contents(out) == before


def test_changed_files_are_kept(published, tmp_path):
    out = tmp_path / "out"
    prepare_dataset("bccd", out)
    original = (out / "train.json").read_bytes()
    (out / "train.json").write_bytes(original + b" ")
    (out / "val.json").unlink()
    before = contents(out)
    with pytest.raises(
        UserError, match=r"does not replace them \(train.json\): train on them as they are, or delete or rename"
    ):
        prepare_dataset("bccd", out)
    assert contents(out) == before
    (out / "train.json").rename(out / ".mine.json")
    prepare_dataset("bccd", out)
    assert (out / "train.json").read_bytes() == original
    assert (out / ".mine.json").read_bytes() == original + b" "


def test_a_repair_that_fails_keeps_the_record(published, tmp_path, monkeypatch):
    out = tmp_path / "out"
    prepare_dataset("bccd", out)
    whole = contents(out)
    (out / "val.json").unlink()
    before = contents(out)
    with monkeypatch.context() as patch:
        patch.setattr(run, "download", lambda *_, **__: (_ for _ in ()).throw(UserError("offline")))
        with pytest.raises(UserError, match="offline"):
            prepare_dataset("bccd", out)
    # A branch has moved on.
    (tmp_path / "newer.zip").write_bytes(zip_bytes(made.voc(train=1)))
    with monkeypatch.context() as patch:
        patch.setattr(run, "download", lambda *_, **__: tmp_path / "newer.zip")
        with pytest.raises(UserError, match=r"was begun from 'http.*' is another copy"):
            prepare_dataset("bccd", out)
    assert contents(out) == before
    prepare_dataset("bccd", out)
    assert contents(out) == whole


def test_another_version_of_the_conversions(published, tmp_path, monkeypatch):
    prepare_dataset("bccd", tmp_path / "out")
    before = contents(tmp_path / "out")
    monkeypatch.setattr(run, "_VERSION", 2)
    with pytest.raises(UserError, match=r"was prepared by another version .*: delete or rename it"):
        prepare_dataset("bccd", tmp_path / "out")
    assert contents(tmp_path / "out") == before


def test_missing_files_of_a_copy(tmp_path):
    copy = write_folder(tmp_path / "copy", made.camvid())
    prepare_dataset("camvid", tmp_path / "out", copy)
    (tmp_path / "out" / "classes.txt").unlink()
    with pytest.raises(UserError, match="has 1 missing files: give --from"):
        prepare_dataset("camvid", tmp_path / "out")
    assert prepare_dataset("camvid", tmp_path / "out", copy).splits == COUNTS["camvid"]


def test_other_contents_are_kept(tmp_path):
    copy = write_folder(tmp_path / "copy", made.voc())
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "notes.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="contains files that this command did not write"):
        prepare_dataset("bccd", tmp_path / "own", copy)
    with pytest.raises(UserError, match="is a file"):
        prepare_dataset("bccd", tmp_path / "file", copy)
    with pytest.raises(UserError, match="is in the copy"):
        prepare_dataset("bccd", copy / "out", copy)
    prepare_dataset("bccd", tmp_path / "out", copy)
    with pytest.raises(UserError, match="contains 'bccd'"):
        prepare_dataset("camvid", tmp_path / "out", copy)


def test_a_wrong_download_is_not_kept(published, tmp_path):
    path = "/bccd/archive/master.zip"
    right = published.files[path]
    published.files[path] = Served(zip_bytes(made.camvid()))
    with pytest.raises(UserError, match=r"'master.zip' is not a copy of bccd: expected ImageSets/Main/train.txt"):
        prepare_dataset("bccd", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    published.files[path] = right
    assert prepare_dataset("bccd", tmp_path / "out").splits == COUNTS["bccd"]


@pytest.mark.parametrize("name", list(MADE))
def test_wrong_copies(tmp_path, name):
    other = {"bccd": "camvid", "nuclei": "bccd", "camvid": "nuclei"}[name]
    copy = tmp_path / "copy.zip"
    copy.write_bytes(zip_bytes(MADE[other]()))
    with pytest.raises(UserError, match=rf"copy.zip' is not a copy of {name}: expected"):
        prepare_dataset(name, tmp_path / "out", copy)
    copy.write_bytes(zip_bytes(MADE[name]() | {"../../evil.txt": b"x"}))
    with pytest.raises(UserError, match="whose path leaves the archive's folder"):
        prepare_dataset(name, tmp_path / "out", copy)
    assert not (tmp_path / "out").exists()


def test_a_wrong_copy_leaves_no_folder(tmp_path):
    copy = write_folder(tmp_path / "copy", made.voc() | {"BCCD_Dataset-1/BCCD/ImageSets/Main/train.txt": b"none"})
    with pytest.raises(UserError, match="incomplete"):
        prepare_dataset("bccd", tmp_path / "out", copy)
    assert not (tmp_path / "out").exists()


def test_faults_of_the_result(tmp_path):
    """The same image in both lists."""
    lists = "BCCD_Dataset-1/BCCD/ImageSets/Main"
    copy = write_folder(tmp_path / "copy", made.voc() | {f"{lists}/val.txt": b"BloodImage_00000"})
    lines = []
    with pytest.raises(UserError, match="has 1 fault: delete it"):
        prepare_dataset("bccd", tmp_path / "out", copy, lines.append)
    assert lines[-1].startswith("fault: 1 images are in train and in val")
    assert not (tmp_path / "out" / run.RECORD).exists()
