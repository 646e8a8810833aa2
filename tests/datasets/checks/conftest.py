"""Fixtures of the tests of data checks."""

import pytest

from mmbeit3.datasets.checks import check_data
from tests.datasets.checks.made import SPLITS, coco_config, write_coco


@pytest.fixture
def check(tmp_path):
    """Write a COCO file and check a config that reads it."""

    def run(content, splits=SPLITS, masks=True, **changes):
        write_coco(tmp_path, content)
        check_data(coco_config(tmp_path, masks=masks, **changes), splits)

    return run
