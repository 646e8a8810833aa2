"""A reader's records: each one once per epoch, a fixed order, exact resuming, and skipping of unusable records."""

import json
import logging

import numpy as np
import pytest

from mmbeit3.errors import UserError
from mmbeit3.pretrain.data import PairFiles, Reader, RecordSource, TarShards, TextFiles
from tests.pretrain.data.example_records import COUNT, encoded, make_records, make_texts, member_pair, numbers, write_tar


@pytest.mark.parametrize("num_workers", [1, 2, 3])
@pytest.mark.parametrize("world_size", [1, 2, 3])
@pytest.mark.parametrize("layout", ["lines", "1", "4", "10"])
def test_every_record_once(tmp_path, layout, world_size, num_workers):
    records = make_records(layout, tmp_path)
    parts = [
        numbers(RecordSource(records, Reader(rank, world_size, worker, num_workers)))
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
        return numbers(RecordSource(records, Reader(1, 2), **arguments))

    assert order(seed=1) == order(seed=1)
    assert order(seed=1) != order(seed=2)
    assert order(epoch=0) != order(epoch=1)
    assert order(shuffle=False) == order(shuffle=False, epoch=3, seed=4)
    source = RecordSource(records, Reader(1, 2))
    assert [numbers(source), numbers(source)] == [order(epoch=0), order(epoch=1)]


@pytest.mark.parametrize("layout", ["lines", "1", "4"])
@pytest.mark.parametrize("stop", [0, 1, 5, 11, 12, 17, 30])
def test_resume_gives_the_same_rest(tmp_path, layout, stop):
    records = make_records(layout, tmp_path)

    def source():
        return RecordSource(records, Reader(0, 2, 1, 2), endless=True)

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
    state = RecordSource(records, Reader(0, 2)).state_dict()
    for reader, seed, match in ((Reader(1, 2), 0, "rank"), (Reader(0, 3), 0, "world_size"), (Reader(0, 2), 5, "seed")):
        with pytest.raises(UserError, match=f"cannot resume the data: {match} was"):
            RecordSource(records, reader, seed).load_state_dict(state)
    with pytest.raises(UserError, match="data was"):
        RecordSource(TextFiles(tmp_path / "a.txt"), Reader(0, 2)).load_state_dict(state)
    with pytest.raises(ValueError, match="rank must be below world_size"):
        Reader(2, 2)


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


def test_endless_reader_without_records(tmp_path):
    (tmp_path / "a.txt").write_text("text 0\n")
    with pytest.raises(UserError, match="reader 2 of 2 has no usable record"):
        next(iter(RecordSource(TextFiles(tmp_path / "a.txt"), Reader(1, 2), endless=True)))
