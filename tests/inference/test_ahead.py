"""Work in threads: order, errors, numbers of threads."""

import threading

import pytest
import torch

from mmbeit3.inference.ahead import model_threads, reading_threads, run_ahead, run_model_ahead


def test_order_and_errors():
    def work(number):
        if number == 5:
            raise ValueError("five")
        return number * 10

    found = run_ahead(iter(range(8)), work, workers=3, ahead=4)
    assert [next(found) for _ in range(5)] == [0, 10, 20, 30, 40]
    with pytest.raises(ValueError, match="five"):
        next(found)


def test_only_a_few_items_are_taken_ahead():
    taken = []
    items = (taken.append(number) or number for number in range(100))
    found = run_ahead(items, lambda number: number, workers=2, ahead=3)
    assert next(found) == 0
    found.close()
    assert len(taken) == 4


@pytest.mark.parametrize(("cores", "expected"), [(1, (1, 1)), (2, (2, 1)), (3, (3, 1)), (4, (2, 2)), (8, (4, 2)), (32, (4, 8))])
def test_threads(cores, expected):
    assert model_threads(cores) == expected
    assert 1 <= reading_threads() <= 4


def test_models_run_in_threads_of_their_own(monkeypatch):
    before = torch.get_num_threads()
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    numbers = []
    set_threads = torch.set_num_threads
    monkeypatch.setattr(torch, "set_num_threads", lambda number: numbers.append(number) or set_threads(1))
    barrier = threading.Barrier(2, timeout=20)

    def work(batch):
        barrier.wait()  # both batches are in work at the same time
        return batch, threading.current_thread().name

    found = list(run_model_ahead(iter("abcd"), work, torch.device("cpu")))
    assert [batch for batch, _ in found] == list("abcd")
    assert len({name for _, name in found}) == 2
    assert numbers == [1, 1, 2]
    alone = run_model_ahead(iter("a"), lambda batch: threading.current_thread().name, torch.device("cpu"))
    assert list(alone) == [threading.current_thread().name]
    monkeypatch.undo()
    torch.set_num_threads(before)
