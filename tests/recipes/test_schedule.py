"""Epochs and warm-up by the number of images."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmengine.config import Config
from mmengine.registry import PARAM_SCHEDULERS

from mmbeit3.recipes.resolve import _set_schedule
from mmbeit3.recipes.schedule import FEWEST, MOST, TARGET, plan
from tests.paths import ROOT


@given(images=st.integers(1, 10**6), batch_size=st.integers(1, 64), drop_last=st.booleans())
def test_the_schedule_keeps_its_bounds(images, batch_size, drop_last):
    images += batch_size * drop_last
    schedule = plan(images, batch_size, drop_last=drop_last)
    per_epoch = images // batch_size if drop_last else math.ceil(images / batch_size)
    assert FEWEST <= schedule.epochs <= MOST
    assert schedule.iterations == schedule.epochs * per_epoch
    if FEWEST < schedule.epochs < MOST:
        assert TARGET <= schedule.iterations < TARGET + per_epoch
    assert schedule.warmup == 0 if schedule.iterations < 20 else 2 <= schedule.warmup <= schedule.iterations // 10
    assert math.ceil(schedule.epochs / schedule.val_interval) <= 5


def test_a_number_of_epochs_is_kept():
    schedule = plan(30, 2, epochs=7)
    assert (schedule.epochs, schedule.iterations, schedule.warmup, schedule.val_interval) == (7, 105, 10, 2)


@pytest.mark.parametrize("iterations", [1, 2, 3, 9, 10, 19, 20, 29, 30, 300])
@pytest.mark.parametrize("task", ["instance", "semantic"])
def test_the_learning_rate_reaches_its_full_value(task, iterations):
    """MMEngine's schedulers, as the complete config has them."""
    cfg = Config.fromfile(ROOT / "configs" / "_base_" / "recipes" / f"{task}.py")
    schedule = plan(2 * iterations, 2, epochs=1)
    _set_schedule(cfg, schedule)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedulers = [
        PARAM_SCHEDULERS.build(
            {**one, "optimizer": optimizer}, default_args={"epoch_length": iterations} if one.by_epoch else None
        )
        for one in cfg.param_scheduler
    ]
    rates = []
    for _ in range(schedule.iterations):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
    cosine = [(1 + math.cos(math.pi * step / iterations)) / 2 for step in range(iterations)]
    after = max(schedule.warmup - 1, 0)
    assert rates[after:] == pytest.approx(cosine[after:], abs=1e-6)
    assert all(low < high for low, high in pairwise(rates[:after]))
    assert max(rates) > 0.95
