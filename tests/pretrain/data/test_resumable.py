"""Resuming through PyTorch's DataLoader, with workers and ranks."""

import json
import pickle

import pytest
from torch.utils.data import DataLoader

from mmbeit3.errors import UserError
from mmbeit3.pretrain.data import RecordSource, ResumableDataset, TextFiles
from tests.pretrain.data.example_records import COUNT, make_records, make_texts


class Readings(ResumableDataset):
    """A dataset that yields the number in each text."""

    def __init__(self, records, endless=False, max_errors=100):
        super().__init__()
        self.records, self.endless, self.max_errors = records, endless, max_errors

    def read(self, reader, position):
        source = RecordSource(self.records, reader, endless=self.endless, max_errors=self.max_errors)
        if position is not None:
            source.load_state_dict(position)
        for record in source:
            yield int(record["text"].split()[1]), source.state_dict()


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


def test_what_is_no_position_is_refused(tmp_path):
    dataset = Readings(make_texts(tmp_path))
    for state in ({"epoch": 1}, {"last": 0, "workers": {}}, {"last": None, "workers": {"0": {"worker": 0}}}):
        with pytest.raises(UserError, match="not a position"):
            dataset.load_state_dict(state)


def test_resuming_with_other_workers_is_refused(tmp_path):
    dataset = Readings(make_texts(tmp_path))
    _, state = next(iter(dataset))
    dataset.consumed(state)
    with pytest.raises(UserError, match="num_workers was 1 and is now 2"):
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
