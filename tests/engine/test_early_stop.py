"""Training stops when the score has not improved for some validations; a resume does not forget them."""

from types import SimpleNamespace

import pytest

from mmbeit3.engine.hooks import EarlyStopHook
from mmbeit3.errors import UserError


def make_runner(folder, step=0):
    return SimpleNamespace(
        iter=step,
        work_dir=str(folder),
        train_loop=SimpleNamespace(stop_training=False),
        logger=SimpleNamespace(warning=lambda text: None),
    )


def play(folder, scores, start=0, name="AP", **settings):
    """Validate every 10 iterations; returns the iteration that training stops after, or None."""
    runner = make_runner(folder, 10 * start)
    hook = EarlyStopHook(**{"patience": 2, **settings})
    hook.before_train(runner)
    for number, score in enumerate(scores, start=start + 1):
        if runner.train_loop.stop_training:
            break
        runner.iter = 10 * number
        hook.after_val_epoch(runner, {name: score, "other": 0.0})
    return runner.iter if runner.train_loop.stop_training else None


@pytest.mark.parametrize(
    ("scores", "settings", "stopped"),
    [
        ([0.1, 0.2, 0.2, 0.19, 0.9], {}, 40),
        ([0.1, 0.2, 0.1, 0.3, 0.2], {}, None),
        ([0.3, 0.2, 0.1], {"rule": "less"}, None),
        ([0.3, 0.4, 0.5], {"rule": "less"}, 30),
        ([0.1, 0.12, 0.13], {"min_delta": 0.05}, 30),
        ([float("nan"), float("nan"), 0.1], {}, 20),
    ],
)
def test_stops(tmp_path, scores, settings, stopped):
    assert play(tmp_path, scores, **settings) == stopped


def test_the_loss_is_to_fall(tmp_path):
    assert play(tmp_path, [0.3, 0.2, 0.1], name="val_loss") is None
    # A resume knows the score's name before its first validation.
    assert play(tmp_path, [], start=3, name="val_loss") is None
    assert play(tmp_path, [0.4, 0.4], start=3, name="val_loss") == 50


def test_a_resume_keeps_the_scores_before_its_checkpoint(tmp_path):
    assert play(tmp_path, [0.5, 0.4]) is None
    # The checkpoint of iteration 20 was written before the validation at iteration 20, which is not repeated.
    assert play(tmp_path, [0.4, 0.4], start=2) == 30
    # Resumed from iteration 10: the later scores do not count.
    assert play(tmp_path, [0.6, 0.7], start=1) is None


def test_miou_comes_first_and_a_missing_score_is_named(tmp_path):
    hook = EarlyStopHook(1)
    hook.before_train(make_runner(tmp_path))
    hook.after_val_epoch(make_runner(tmp_path, 5), {"aAcc": 0.1, "mIoU": 0.2})
    assert hook.monitor == "mIoU"
    with pytest.raises(UserError, match="no score 'AP': use one of aAcc, mIoU"):
        EarlyStopHook(1, "AP").after_val_epoch(make_runner(tmp_path), {"aAcc": 0.1, "mIoU": 0.2})


def test_settings_are_checked():
    with pytest.raises(ValueError, match="patience must be at least 1"):
        EarlyStopHook(0)
    with pytest.raises(ValueError, match="rule"):
        EarlyStopHook(1, rule="more")
