"""Errors of training that become one line."""

import pytest
from torch import nn, zeros

from mmbeit3.runner.running import explain_failure


def test_batch_norm_of_a_single_value():
    with pytest.raises(ValueError, match="Expected more than 1 value") as caught:
        nn.BatchNorm2d(3)(zeros(1, 3, 1, 1))
    assert "from a batch of one image (the last batch of an epoch can be smaller" in explain_failure(caught.value)
