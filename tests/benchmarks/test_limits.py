import threading
import time
from contextlib import suppress

import pytest

from benchmarks.limits import TimeLimit


def test_work_that_takes_too_long_is_left():
    start = time.monotonic()
    with TimeLimit(0.05) as limit:
        time.sleep(5)
    assert limit.expired
    assert limit.passed
    assert time.monotonic() - start < 2


def test_work_in_time_is_not_touched():
    with TimeLimit(0.5) as limit:
        pass
    time.sleep(0.6)
    assert not limit.expired


def test_the_outer_limit_leaves_the_inner_block_too():
    with TimeLimit(0.05) as outer, TimeLimit(5) as inner:
        time.sleep(5)
    assert outer.expired
    assert not inner.expired
    with TimeLimit(5) as outer:
        with TimeLimit(0.05) as inner:
            time.sleep(5)
        assert inner.expired
    assert not outer.expired


def test_a_swallowed_stop_is_seen_and_repeated():
    with TimeLimit(0.05) as limit:
        # Compilers turn any exception into one of their own.
        with suppress(BaseException):
            time.sleep(5)
        assert limit.passed
        time.sleep(5)
    assert limit.expired


def test_other_errors_pass():
    with pytest.raises(ValueError, match="other"), TimeLimit(5):
        raise ValueError("other")


def test_no_limit_with_zero_or_in_another_thread():
    with TimeLimit(0) as limit:
        time.sleep(0.02)
    assert not limit.passed
    found = []

    def work():
        with TimeLimit(0.01) as limit:
            time.sleep(0.05)
        found.append(limit.expired)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [False]
