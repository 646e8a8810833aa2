"""Launches and waits counted by hand."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from mmbeit3.profiling.launches import count_launches

X = torch.tensor([[1.0, -2.0, 3.0], [0.0, 5.0, -6.0]])
ROWS = torch.tensor([1, 0])
DEVICE = torch.device("cpu")


def assign(index, value):
    tensor = X.clone()
    tensor[index] = value


WAITS = {
    "item": (lambda: X.sum().item(), {"scalar read": 1}),
    "bool": (lambda: bool(X.sum() > 0), {"scalar read": 1}),
    "index of a list": (lambda: [0, 1, 2][ROWS[0]], {"scalar read": 1}),
    "max with a number": (lambda: max(X.sum(), 1), {"scalar read": 1}),
    "equal": (lambda: torch.equal(X, X + 0), {"scalar read": 1}),
    "sizes of split": (lambda: X.split([ROWS[0], ROWS[0]]), {"scalar read": 2}),
    "one hot": (lambda: F.one_hot(ROWS), {"scalar read": 2}),
    "repeats": (lambda: X.repeat_interleave(ROWS, dim=0), {"scalar read": 1}),
    "nonzero": (lambda: X.nonzero(), {"nonzero": 1}),
    "where": (lambda: torch.where(X > 0), {"nonzero": 1}),
    "mask": (lambda: X[X > 0], {"boolean index": 1}),
    "masked select": (lambda: X.masked_select(X > 0), {"boolean index": 1}),
    "assigned by a mask": (lambda: assign(X > 1, X[0, :2]), {"boolean index": 1}),
    "unique": (lambda: ROWS.unique(), {"unique": 1}),
    "to the host": (lambda: X.cpu(), {"copy to host": 1}),
    "to 'cpu'": (lambda: X.to("cpu"), {"copy to host": 1}),
    "list": (lambda: X.tolist(), {"copy to host": 1}),
    "to the host and on": (lambda: (X.cpu() + 1).sum().item(), {"copy to host": 1}),
    "to the device": (lambda: torch.tensor([1, 2]).to(DEVICE) + ROWS, {"copy to device": 1}),
    "made on the device": (lambda: torch.tensor([1, 2], device=DEVICE), {"copy to device": 1}),
    "new tensor": (lambda: X.new_tensor([1, 2]), {"copy to device": 1}),
    "from numpy": (lambda: torch.from_numpy(np.arange(2)).to(DEVICE), {"copy to device": 1}),
    "permutation": (lambda: ROWS[torch.randperm(2)[:1].to(ROWS.device)], {"copy to device": 1}),
    "host index": (lambda: X[torch.tensor([0])], {"copy to device": 1}),
    "scalar to rows": (lambda: assign(ROWS, 1.0), {"copy to device": 1}),
}


@pytest.mark.parametrize("case", WAITS)
def test_waits(case):
    call, wanted = WAITS[case]
    _, counts = count_launches(call)
    assert dict(counts.wait_kinds) == wanted
    assert counts.waits == sum(wanted.values())
    # The place is in this file, also if PyTorch's Python code is between.
    assert all("profiling/test_launches.py:" in place for place in counts.wait_places)


NO_WAITS = {
    "index": lambda: X[ROWS],
    "scalar to a mask": lambda: assign(X > 0, 1.0),
    "where": lambda: torch.where(X > 0, X, 0),
    "dtype": lambda: X.to(torch.float64),
    "same device": lambda: X.to(X.device),
    "made on the device": lambda: torch.arange(3, device=X.device) + X,
    "host only": lambda: torch.arange(3)[torch.tensor([1])].tolist(),
    "host by name": lambda: torch.arange(3, device="cpu").add(1).sum().item(),
    "scalar operand": lambda: X * torch.tensor(2.0),
    "not blocking": lambda: torch.tensor([1, 2]).to(DEVICE, non_blocking=True) + ROWS,
    "repeats of known size": lambda: X.repeat_interleave(ROWS, dim=0, output_size=1),
}


@pytest.mark.parametrize("case", NO_WAITS)
def test_no_waits(case):
    _, counts = count_launches(NO_WAITS[case])
    assert not counts.wait_kinds


def test_launches_without_views():
    def call():
        made = torch.zeros(3, 2, device=DEVICE) + X.t()[1:].new_ones(3, 2)
        return made.reshape(-1)[None].expand(4, -1)[:, 1:]

    result, counts = count_launches(call)
    assert torch.equal(result, torch.ones(4, 5))
    assert counts.operators == {"aten.zeros": 1, "aten.new_ones": 1, "aten.add": 1}
    assert counts.launches == 3


def test_backward_is_counted():
    weight = torch.ones(3, requires_grad=True)
    _, forward = count_launches(lambda: (weight * 2).sum())
    _, both = count_launches(lambda: (weight * 2).sum().backward())
    # ones_like for the seed, and the product; the gradient of the sum is a view.
    assert both.launches == forward.launches + 2
    assert torch.equal(weight.grad, torch.full((3,), 2.0))


def test_host_work_is_not_counted():
    _, counts = count_launches(lambda: torch.arange(4).float().add(1).sum())
    assert counts.launches == counts.waits == 0


def test_table_names_operators_and_places():
    _, counts = count_launches(lambda: X.mul(2).sum().item())
    text = counts.table()
    assert text.startswith("2 launches, 1 waits")
    assert "launch  aten.mul" in text
    assert "scalar read: tests/profiling/test_launches.py:" in text
