"""Epochs and warm-up by the number of images."""

import math

from hypothesis import given
from hypothesis import strategies as st

from mmbeit3.recipes.schedule import FEWEST, MOST, TARGET, plan


@given(images=st.integers(1, 10**6), batch_size=st.integers(1, 64))
def test_the_schedule_keeps_its_bounds(images, batch_size):
    schedule = plan(images, batch_size)
    per_epoch = math.ceil(images / batch_size)
    assert FEWEST <= schedule.epochs <= MOST
    assert schedule.iterations == schedule.epochs * per_epoch
    if FEWEST < schedule.epochs < MOST:
        assert TARGET <= schedule.iterations < TARGET + per_epoch
    assert 1 <= schedule.warmup <= max(1, schedule.iterations // 10)
    assert math.ceil(schedule.epochs / schedule.val_interval) <= 5


def test_a_number_of_epochs_is_kept():
    schedule = plan(30, 2, epochs=7)
    assert (schedule.epochs, schedule.iterations, schedule.warmup, schedule.val_interval) == (7, 105, 10, 2)
