"""A training that would do nothing, or stay at the start of its warm-up, is refused."""

import pytest
from mmengine.runner import EpochBasedTrainLoop
from torch.utils.data import DataLoader

from mmbeit3.errors import UserError
from mmbeit3.runner.iterations import check_iterations


def loop(samples, batch_size, epochs=10):
    made = EpochBasedTrainLoop.__new__(EpochBasedTrainLoop)
    made.dataloader = DataLoader(list(range(samples)), batch_size=batch_size, drop_last=True)
    made._max_epochs, made._max_iters = epochs, epochs * len(made.dataloader)
    return made


def linear(**options):
    return {"type": "LinearLR", "start_factor": 1e-6, "begin": 0, "end": 1, **options}


def test_no_batch():
    with pytest.raises(UserError, match=r"has no batch: it has 3 samples, batch_size=4 and drop_last=True"):
        check_iterations(loop(3, 4), None)


@pytest.mark.parametrize(
    ("samples", "epochs", "scheduler", "stays"),
    [
        (4, 10, linear(by_epoch=True, convert_to_iter_based=True), True),
        (8, 10, linear(by_epoch=True, convert_to_iter_based=True), False),
        (4, 1, linear(by_epoch=True, convert_to_iter_based=True), False),
        (8, 10, linear(by_epoch=True), True),
        (8, 10, linear(by_epoch=False), True),
        (8, 10, linear(by_epoch=False, end=2), False),
        (8, 10, linear(by_epoch=False, start_factor=1.0), False),
        (8, 10, {"type": "ConstantLR", "by_epoch": False, "end": 1}, False),
    ],
)
@pytest.mark.parametrize("wrap", [lambda one: one, lambda one: [one], lambda one: {"generator": [one]}])
def test_a_warm_up_of_one_step(samples, epochs, scheduler, stays, wrap):
    if not stays:
        check_iterations(loop(samples, 4, epochs), wrap(scheduler))
        return
    with pytest.raises(UserError, match=r"LinearLR of a single step, after which the learning rate would stay at 1e-06"):
        check_iterations(loop(samples, 4, epochs), wrap(scheduler))
