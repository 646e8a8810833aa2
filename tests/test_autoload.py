"""mmcv's operators are there for programs that do not import mmbeit3."""

import subprocess
import sys
from importlib.metadata import entry_points

import pytest

from mmbeit3.autoload import _Finder
from mmbeit3.ops import mmcv_ext
from mmbeit3.versions import MMCV_EXTENSION
from tests.paths import ROOT

pytestmark = pytest.mark.skipif(not mmcv_ext.is_replaced(), reason="compiled mmcv is in use")


def run(code, **environment):
    import os

    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )


def test_pytorch_calls_it():
    assert "mmbeit3.autoload:install" in {point.value for point in entry_points(group="torch.backends")}
    done = run(
        "import sys, torch\n"
        "assert 'mmbeit3.ops' not in sys.modules\n"
        "from mmcv.ops import nms\n"
        "boxes = torch.tensor([[0., 0, 9, 9], [0, 0, 9, 9]])\n"
        "print(nms(boxes, torch.tensor([.9, .8]), .5)[1].tolist())"
    )
    assert done.stdout.strip() == "[0]", done.stderr


def test_it_can_be_switched_off():
    done = run("import torch\nimport mmcv.ops", MMBEIT3_MMCV_OPS="0")
    assert "No module named 'mmcv._ext'" in done.stderr


def test_it_answers_for_nothing_else():
    finder = _Finder()
    assert finder.find_spec(MMCV_EXTENSION, None) is not None
    assert all(finder.find_spec(name, None) is None for name in ("mmcv", "mmcv._extra", "mmcv.ops", "_ext"))


INFERENCERS = """
from mmseg.apis import MMSegInferencer
import numpy as np
image = np.full((72, 96, 3), 90, np.uint8)
found = MMSegInferencer(model={seg!r}, device="cpu")(image, return_datasamples=True)
print(tuple(found.pred_sem_seg.data.shape))
from mmdet.apis import DetInferencer
found = DetInferencer(model={det!r}, device="cpu")(image, no_save_vis=True, print_result=False)
print(sorted(found["predictions"][0]))
"""


def test_the_inferencers_of_mmseg_and_mmdet(tmp_path):
    """mmseg's first, which imports its heads before any config; and on the config that training writes beside its weights."""
    from mmengine.config import Config

    for name in ("seg", "det"):
        config = {"seg": "beit3-adapter-t_mask2former_shapes.py", "det": "mask-rcnn_beit3-adapter-t_shapes.py"}[name]
        Config.fromfile(ROOT / "configs" / "shapes" / config).dump(tmp_path / f"{name}.py")
    done = run(INFERENCERS.format(seg=str(tmp_path / "seg.py"), det=str(tmp_path / "det.py")))
    assert done.returncode == 0, done.stderr[-2000:]
    assert "(1, 72, 96)" in done.stdout
    assert "['bboxes', 'labels', 'masks', 'scores']" in done.stdout
