"""Live storages compared with hand counts."""

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from mmbeit3.pretrain.plan.fake import KnownMasks
from mmbeit3.pretrain.plan.tracker import Tracker

KIB = 1024


@pytest.mark.parametrize("fake", [False, True])
def test_what_is_alive_and_when(fake):
    with FakeTensorMode() if fake else torch.enable_grad(), Tracker() as tracker:
        a = torch.zeros(256)
        b = a.view(16, 16)  # a view shares its memory
        c = b + 1
        del a
        d = torch.zeros(512)
        assert tracker.current() == {"activations": 4 * KIB}
        del d, c, b
        assert tracker.current() == {}
        e = torch.zeros(256)
    assert tracker.peak().total == 4 * KIB
    del e


def test_labels_after_the_fact_and_scales():
    with Tracker() as tracker:
        weight, temporary = torch.zeros(256), torch.zeros(256)
        del temporary
        gradient = torch.zeros(1024)
    tracker.label([weight], "parameters")
    tracker.label([gradient], "gradients")
    assert tracker.peak().parts == {"parameters": KIB, "activations": 0, "gradients": 4 * KIB}
    # Sharded over eight ranks, gradients are smaller than the temporary, so the peak is at another moment.
    spread = tracker.peak({"gradients": 1 / 8})
    assert spread.total == 2 * KIB
    assert spread.parts == {"parameters": KIB, "activations": KIB}


def test_copies_of_weights():
    layer, x = nn.Linear(16, 16), torch.zeros(2, 16)
    tracker = Tracker()
    tracker.label(layer.parameters(), "parameters")
    with torch.autocast("cpu", torch.bfloat16), tracker:
        layer(x)
        assert tracker.current()["copies"] == 2 * (16 * 16 + 16)
    assert "copies" not in tracker.current()


def test_backward_through_a_mask_of_which_only_the_count_is_known():
    mode, masks = FakeTensorMode(), KnownMasks()
    real = torch.tensor([[True, False, True], [False, False, True]])
    with mode, masks:
        mask = mode.from_tensor(real)
        masks.set_count(mask, 3)
        x = torch.zeros(2, 3, 8, requires_grad=True)
        chosen = x[mask.view(2, 3)]
        assert chosen.shape == (3, 8)
        chosen.sum().backward()
        assert x.grad.shape == (2, 3, 8)
        # A mask without a known number counts as true everywhere.
        assert (~mask).flatten().nonzero().shape == (6, 1)
