"""All contenders of the caption suite give the same captions, of the length in the case's name."""

from dataclasses import replace

import torch

from benchmarks.cases import deviation
from benchmarks.settings import Settings
from benchmarks.suites.captioning import caption_cases


def test_all_ways_say_the_same():
    (case,) = caption_cases(replace(Settings(batch=3).for_check(), sides=(64,)))
    assert case.name == "captions tiny 64², 2 images, 8 words, 3 beams"
    first, *others = [contender.make(True)() for contender in case.contenders]
    assert first[0].shape == (2, 10)
    assert (first[0][:, 1:-1] != 2).all()
    assert len(others) == 3
    assert not torch.equal(first[0][0], first[0][1])
    for other in others:
        assert deviation(first, other) == 0
