"""Reading records for pretraining: nothing twice, nothing lost, the same again, and no stumbling over broken ones."""

import io
import json
import logging
import os
import pickle
import tarfile

import cv2
import numpy as np
import pytest
from PIL import Image
from torch.utils.data import DataLoader

from mmbeit3.errors import UserError
from mmbeit3.pretrain.data import (
    ImageFolder,
    PairFiles,
    Place,
    RecordSource,
    ResumableDataset,
    TarShards,
    TextFiles,
    open_records,
)

COUNT = 23


class Readings(ResumableDataset):
    """Records with their numbers."""

    def __init__(self, records, endless=False, max_errors=100):
        super().__init__()
        self.records, self.endless, self.max_errors = records, endless, max_errors

    def read(self, place, position):
        source = RecordSource(self.records, place, endless=self.endless, max_errors=self.max_errors)
        if position is not None:
            source.load_state_dict(position)
        for record in source:
            yield int(record["text"].split()[1]), source.state_dict()


def picture(index, size=(5, 7)):
    image = np.zeros((*size, 3), np.uint8)
    image[:] = (index * 10 % 256, 0, 200)  # RGB
    return image


def encoded(index, suffix=".png"):
    return cv2.imencode(suffix, picture(index)[..., ::-1])[1].tobytes()


def write_tar(path, members):
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def member_pair(index):
    return [(f"{index:03d}.png", encoded(index)), (f"{index:03d}.txt", f"text {index}".encode())]


def make_tars(folder, shards):
    for shard in range(shards):
        members = [member for index in range(COUNT) if index % shards == shard for member in member_pair(index)]
        write_tar(folder / f"train-{shard:02d}.tar", members)
    return str(folder / "train-*.tar")


def make_texts(folder):
    (folder / "a.txt").write_text("".join(f"text {index}\n\n" for index in range(10)))
    (folder / "b.jsonl").write_text("\n".join(json.dumps({"text": f"text {index}"}) for index in range(10, COUNT)))
    return TextFiles([folder / "a.txt", folder / "b.jsonl"])


def make_records(layout, folder, buffer=4):
    return make_texts(folder) if layout == "lines" else TarShards(make_tars(folder, int(layout)), "texts", buffer)


def numbers(records):
    return [int(record["text"].split()[1]) for record in records]


@pytest.mark.parametrize("num_workers", [1, 2, 3])
@pytest.mark.parametrize("world_size", [1, 2, 3])
@pytest.mark.parametrize("layout", ["lines", "1", "4", "10"])
def test_every_record_once(tmp_path, layout, world_size, num_workers):
    records = make_records(layout, tmp_path)
    parts = [
        numbers(RecordSource(records, Place(rank, world_size, worker, num_workers)))
        for rank in range(world_size)
        for worker in range(num_workers)
    ]
    assert sorted(number for part in parts for number in part) == list(range(COUNT))
    assert all(parts)
    if layout == "lines":
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("layout", ["lines", "1", "4"])
def test_order(tmp_path, layout):
    records = make_records(layout, tmp_path)

    def order(**arguments):
        return numbers(RecordSource(records, Place(1, 2), **arguments))

    assert order(seed=1) == order(seed=1)
    assert order(seed=1) != order(seed=2)
    assert order(epoch=0) != order(epoch=1)
    assert order(shuffle=False) == order(shuffle=False, epoch=3, seed=4)
    source = RecordSource(records, Place(1, 2))
    assert [numbers(source), numbers(source)] == [order(epoch=0), order(epoch=1)]


@pytest.mark.parametrize("layout", ["lines", "1", "4"])
@pytest.mark.parametrize("stop", [0, 1, 5, 11, 12, 17, 30])
def test_resume_gives_the_same_rest(tmp_path, layout, stop):
    records = make_records(layout, tmp_path)

    def source():
        return RecordSource(records, Place(0, 2, 1, 2), endless=True)

    def take(reader, count):
        iterator = iter(reader)
        return numbers(next(iterator) for _ in range(count))

    whole = take(source(), 40)
    first = source()
    begun = take(first, stop)
    state = json.loads(json.dumps(first.state_dict()))
    second = source()
    second.load_state_dict(state)
    assert begun + take(second, 40 - stop) == whole
    assert begun + take(first, 40 - stop) == whole


def test_positions_of_others_are_refused(tmp_path):
    records = make_texts(tmp_path)
    state = RecordSource(records, Place(0, 2)).state_dict()
    for place, seed, match in ((Place(1, 2), 0, "rank"), (Place(0, 3), 0, "world_size"), (Place(0, 2), 5, "seed")):
        with pytest.raises(UserError, match=f"cannot resume the data: {match} was"):
            RecordSource(records, place, seed).load_state_dict(state)
    with pytest.raises(UserError, match="data was"):
        RecordSource(TextFiles(tmp_path / "a.txt"), Place(0, 2)).load_state_dict(state)
    with pytest.raises(UserError, match="not a position"):
        Readings(records).load_state_dict({"epoch": 1})
    with pytest.raises(ValueError, match="no such reader"):
        Place(2, 2)


def test_names_that_are_not_utf8(tmp_path, caplog):
    name = os.fsdecode(b"caf\xe9")
    (tmp_path / f"{name}.png").write_bytes(encoded(3))
    (tmp_path / f"{name} broken.png").touch()
    with caplog.at_level(logging.WARNING):
        records = list(RecordSource(open_records("images", tmp_path)))
    assert [record["key"] for record in records] == [f"{name}.png"]
    assert "skipped 'caf? broken.png' of" in caplog.text


def test_images_in_shards(tmp_path):
    """Of all formats, in small letters or capitals; macOS's own files beside them are no records."""
    pytest.importorskip("webdataset")
    members = [
        ("a.PNG", encoded(3)),
        ("./._a.png", b"macOS's"),
        ("b.tif", encoded(3, ".tif")),
        ("deep/c.bmp", encoded(3, ".bmp")),
    ]
    write_tar(tmp_path / "a.tar", members)
    records = list(RecordSource(TarShards(tmp_path / "a.tar", "images"), shuffle=False))
    assert [record["key"] for record in records] == ["a", "b", "deep/c"]
    for record in records:
        np.testing.assert_array_equal(record["image"], picture(3))


def test_images(tmp_path):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    for name, suffix in (("a.PNG", ".png"), ("deep/b.webp", ".webp"), ("deep/er/c.jpeg", ".jpg")):
        (tmp_path / name).write_bytes(encoded(3, suffix))
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "png").write_text("no image either")
    (tmp_path / "deep" / "._b.webp").write_text("macOS's")
    (tmp_path / "deep" / "round").symlink_to(tmp_path)
    records = {record["key"]: record for record in RecordSource(open_records("images", tmp_path))}
    assert sorted(records) == ["a.PNG", "deep/b.webp", "deep/er/c.jpeg"]
    for record in records.values():
        assert record["image"].dtype == np.uint8
        assert "text" not in record
        np.testing.assert_allclose(record["image"].astype(int), picture(3), atol=12)
    np.testing.assert_array_equal(records["a.PNG"]["image"], picture(3))


@pytest.mark.parametrize("value", [np.full((4, 6), 0x8000, np.uint16), np.full((4, 6), 128, np.uint8)])
def test_grey_images_become_rgb(tmp_path, value):
    cv2.imwrite(str(tmp_path / "grey.png"), value)
    (record,) = RecordSource(ImageFolder(tmp_path))
    assert record["image"].shape == (4, 6, 3)
    assert (record["image"] == 128).all()


def test_images_are_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(picture(1)).save(tmp_path / "turned.jpg", exif=exif)
    (record,) = RecordSource(ImageFolder(tmp_path))
    assert record["image"].shape == (7, 5, 3)


def test_pairs(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "lists").mkdir()
    lines = []
    for index in range(3):
        (tmp_path / "images" / f"{index}.png").write_bytes(encoded(index))
        lines.append(json.dumps({"image": f"../images/{index}.png", "text": f"text {index}"}))
    (tmp_path / "lists" / "pairs.jsonl").write_text("\n".join(lines))
    records = open_records("pairs", tmp_path / "lists" / "pairs.jsonl")
    assert isinstance(records, PairFiles)
    for record in RecordSource(records):
        index = int(record["text"].split()[1])
        assert record["key"] == f"pairs.jsonl:{index + 1}"
        np.testing.assert_array_equal(record["image"], picture(index))


def test_pairs_in_tars(tmp_path):
    value = json.dumps({"caption": "text 1"}).encode()
    write_tar(tmp_path / "a.tar.gz", [*member_pair(0), ("sub/001.JPG", encoded(1, ".jpg")), ("sub/001.json", value)])
    write_tar(tmp_path / "b.tar", member_pair(2))
    records = open_records("pairs", str(tmp_path / "{a.tar.gz,b.tar}"))
    assert isinstance(records, TarShards)
    assert sorted(record["key"] for record in RecordSource(records)) == ["000", "002", "sub/001"]
    for record in RecordSource(records):
        index = int(record["text"].split()[1])
        np.testing.assert_allclose(record["image"].astype(int), picture(index), atol=12)
    (record, *_) = RecordSource(TarShards([tmp_path / "b.tar", tmp_path / "b.tar"], "images"))
    assert sorted(record) == ["image", "key"]


@pytest.mark.parametrize("name", ["a.tar", "a.{tar,tgz}", "{a,b}.tar.gz", "{a.tar,b.TAR}", "a-*.tar.xz"])
def test_names_of_shards(tmp_path, name):
    with pytest.raises(UserError, match="no tar shard"):
        open_records("texts", tmp_path / name)


class Trap:
    def __reduce__(self):
        return (pytest.fail, ("unpickled",))


def test_other_members_are_never_looked_into(tmp_path):
    trap = pickle.dumps(Trap())
    members = [(f"000.{suffix}", trap) for suffix in ("pyd", "pkl", "pickle", "pth", "npy", "cls")]
    write_tar(tmp_path / "a.tar", [*member_pair(0), *members, ("../../up.txt", b"text 1"), ("__meta__", trap)])
    before = sorted(tmp_path.parent.rglob("*"))
    assert sorted(numbers(RecordSource(TarShards(tmp_path / "a.tar", "texts")))) == [0, 1]
    assert sorted(tmp_path.parent.rglob("*")) == before


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


def bad_local(folder):
    (folder / "good.png").write_bytes(encoded(0))
    (folder / "broken.png").write_bytes(encoded(0)[:-40])
    lines = [
        {"image": "good.png", "text": "text 0"},
        {"image": "broken.png", "text": "text 1"},
        {"image": "missing.png", "text": "text 2"},
        {"image": "good.png", "text": " "},
        {"image": "good.png"},
        {"text": "text 5"},
        {"image": str(folder / "good.png"), "text": "text 6"},
        ["good.png", "text 7"],
        {"image": "good.png", "text": 8},
    ]
    (folder / "pairs.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n{\n")
    return PairFiles(folder / "pairs.jsonl"), "pairs.jsonl", [f"pairs.jsonl:{line}" for line in range(2, 11)]


def bad_tar(folder):
    big = bytes(np.random.default_rng(0).integers(256, size=3000, dtype=np.uint8))
    members = [
        *member_pair(0),
        *(("001.png", b"nonsense"), ("001.txt", b"text")),
        ("002.png", encoded(2)),
        ("003.txt", b"text"),
        *(("004.png", encoded(4)), ("004.txt", b"\xff\xfe")),
        *(("005.jpg", encoded(5, ".jpg")[:-30]), ("005.txt", b"text")),
        *(("006.png", encoded(6)), ("006.json", b"{")),
        *(("007.png", encoded(7)), ("007.txt", b"\n")),
        *(("008.png", big), ("008.txt", b"text")),
    ]
    write_tar(folder / "bad.tar", members)
    data = (folder / "bad.tar").read_bytes()
    (folder / "bad.tar").write_bytes(data[: data.index(big) + 1000])
    keys = ["001", "002", "003", "004", "005", "006", "007", "(archive)"]
    return TarShards(str(folder / "bad.tar"), "pairs", buffer=3), "bad.tar", keys


@pytest.mark.parametrize("make", [bad_local, bad_tar])
def test_unusable_records(tmp_path, caplog, make):
    records, file, keys = make(tmp_path)
    source = RecordSource(records, max_errors=len(keys))
    iterator = iter(source)
    with caplog.at_level(logging.WARNING):
        assert numbers([next(iterator)]) == [0]
        last_of_epoch = list(iterator)
    assert not last_of_epoch
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == len(keys)
    for key in keys:
        assert any(f"'{key}'" in message and file in message for message in messages), key
    assert (source.epoch, source.errors) == (1, 0)
    with pytest.raises(UserError, match=rf"more than {len(keys) - 1} unusable.*max_errors.*the last is '.*' of '.*{file}'"):
        list(RecordSource(records, max_errors=len(keys) - 1))
    with pytest.raises(UserError, match="more than 0 unusable"):
        list(RecordSource(records, max_errors=0))


def test_errors_are_part_of_the_position(tmp_path):
    records, _, keys = bad_local(tmp_path)
    (tmp_path / "pairs.jsonl").write_text((tmp_path / "pairs.jsonl").read_text() + '{"image": "good.png", "text": "text 11"}\n')
    records = PairFiles(tmp_path / "pairs.jsonl")
    source = RecordSource(records, shuffle=False, max_errors=len(keys))
    iterator = iter(source)
    assert numbers([next(iterator), next(iterator)]) == [0, 11]
    assert (source.position, source.errors) == (len(keys) + 2, len(keys))
    again = RecordSource(records, shuffle=False, max_errors=len(keys))
    again.load_state_dict(source.state_dict())
    assert (again.position, again.errors) == (len(keys) + 2, len(keys))
    assert not list(again)


def test_member_that_is_there_twice(tmp_path, caplog):
    write_tar(tmp_path / "a.tar", [*member_pair(0), *member_pair(0)[1:], *member_pair(1)])
    assert sorted(numbers(RecordSource(TarShards(tmp_path / "a.tar", "pairs")))) == [0, 1]
    assert "duplicate file name" in caplog.text


def test_no_archive(tmp_path):
    (tmp_path / "a.tar").write_bytes(b"this is no archive" * 100)
    with pytest.raises(UserError, match=r"'\(archive\)' of '.*a.tar': damaged archive"):
        list(RecordSource(TarShards(tmp_path / "a.tar", "texts"), max_errors=0))


def test_text_that_is_not_utf8(tmp_path):
    (tmp_path / "latin.txt").write_bytes("Übung\n".encode("latin-1"))
    (tmp_path / "wide.txt").write_bytes("text\n".encode("utf-16-le"))
    for name in ("latin.txt", "wide.txt"):
        with pytest.raises(UserError, match=f"'{name}:1' of .*not UTF-8"):
            list(RecordSource(TextFiles(tmp_path / name), max_errors=0))


def test_nothing_to_read(tmp_path):
    (tmp_path / "blank.txt").write_text("\n \n")
    for make, match in (
        (lambda: ImageFolder(tmp_path), "no image"),
        (lambda: ImageFolder(tmp_path / "gone"), "no folder of images"),
        (lambda: TextFiles(tmp_path / "gone.txt"), "no file"),
        (lambda: TextFiles(tmp_path / "blank.txt"), "no line of text"),
        (lambda: TextFiles([]), "no line of text"),
        (lambda: TarShards(tmp_path / "gone-*.tar", "texts"), "no tar shard"),
        (lambda: TarShards([], "texts"), "no tar shards"),
        (lambda: open_records("videos", tmp_path), "is none of"),
        (lambda: open_records("texts", []), "no paths"),
        (lambda: open_records("texts", ["a.tar", "b.txt"]), "cannot be mixed"),
        (lambda: open_records("images", ["a", "b"]), "one folder"),
    ):
        with pytest.raises(UserError, match=match):
            make()
    with pytest.raises(ValueError, match="kind 'videos'"):
        TarShards("a.tar", "videos")


def test_endless_reader_without_records(tmp_path):
    (tmp_path / "a.txt").write_text("text 0\n")
    with pytest.raises(UserError, match="reader 2 of 2 has no usable record"):
        next(iter(RecordSource(TextFiles(tmp_path / "a.txt"), Place(1, 2), endless=True)))


@pytest.mark.parametrize("layout", ["lines", "1"])
def test_loader_with_two_workers(tmp_path, layout):
    loader = DataLoader(Readings(make_records(layout, tmp_path)), batch_size=None, num_workers=2)
    first, again = [number for number, _ in loader], [number for number, _ in loader]
    assert first == again
    assert sorted(first) == list(range(COUNT))


@pytest.mark.parametrize("layout", ["lines", "1"])
@pytest.mark.parametrize(("num_workers", "stop"), [(0, 3), (2, 1), (2, 4), (2, 9), (3, 31)])
def test_loader_resumes_in_the_same_order(tmp_path, layout, num_workers, stop):
    records = make_records(layout, tmp_path)
    total = 2 * COUNT

    def loader():
        dataset = Readings(records, endless=True)
        return dataset, iter(DataLoader(dataset, batch_size=None, num_workers=num_workers))

    def take(dataset, items, count):
        taken = []
        for _ in range(count):
            number, state = next(items)
            taken.append(number)
            dataset.consumed(state)
        return taken

    whole = take(*loader(), total)
    dataset, items = loader()
    begun = take(dataset, items, stop)
    state = json.loads(json.dumps(dataset.state_dict()))
    resumed = Readings(records, endless=True)
    resumed.load_state_dict(state)
    items = iter(DataLoader(resumed, batch_size=None, num_workers=num_workers))
    assert begun + take(resumed, items, total - stop) == whole


def test_resuming_with_other_workers_is_refused(tmp_path):
    dataset = Readings(make_texts(tmp_path))
    _, state = next(iter(dataset))
    dataset.consumed(state)
    with pytest.raises(UserError, match="num_workers was 1 and is 2"):
        next(iter(DataLoader(dataset, num_workers=2, batch_size=None)))


def test_errors_reach_the_loader(tmp_path):
    (tmp_path / "a.jsonl").write_text("{\n{\n")
    dataset = Readings(TextFiles(tmp_path / "a.jsonl"), max_errors=0)
    with pytest.raises(UserError, match="more than 0 unusable records"):
        next(iter(DataLoader(dataset, num_workers=1, batch_size=None)))


def test_rank_of_the_process_group(tmp_path, monkeypatch):
    records = make_texts(tmp_path)
    monkeypatch.setattr("torch.distributed.is_initialized", lambda: True)
    monkeypatch.setattr("torch.distributed.get_world_size", lambda: 2)
    parts, copies = [], []
    for rank in range(2):
        monkeypatch.setattr("torch.distributed.get_rank", lambda rank=rank: rank)
        dataset = Readings(records)
        parts.append([number for number, _ in dataset])
        copies.append(pickle.loads(pickle.dumps(dataset)))
    assert sorted(parts[0] + parts[1]) == list(range(COUNT))
    # A spawned worker has no process group.
    monkeypatch.setattr("torch.distributed.is_initialized", lambda: False)
    assert [[number for number, _ in copy] for copy in copies] == parts
