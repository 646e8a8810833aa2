"""The replacement of mmcv's compiled module."""

import subprocess
import sys

import mmcv.ops
import pytest
import torch

from mmbeit3 import openmmlab
from mmbeit3.ops import mmcv_ext

pytestmark = pytest.mark.skipif(not mmcv_ext.is_replaced(), reason="compiled mmcv is in use, which is not ours to test")


def test_an_operator_that_is_not_there():
    with pytest.raises(NotImplementedError, match=r"'carafe_forward'.*pip install"):
        mmcv.ops.carafe(torch.randn(1, 4, 4, 4), torch.randn(1, 9, 8, 8), 3, 1, 2)


def test_providing_twice():
    before = sys.modules["mmcv._ext"]
    assert openmmlab.provide_ops()
    assert sys.modules["mmcv._ext"] is before


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_a_compiled_module_is_left_alone(tmp_path):
    """A module with the name of mmcv's compiled one is imported if it exists, not replaced."""
    (tmp_path / "_ext.py").write_text("nms = 'compiled'")
    done = run(
        f"import mmcv; mmcv.__path__.append({str(tmp_path)!r})\n"
        "from mmbeit3 import openmmlab\n"
        "assert openmmlab.provide_ops() is False\n"
        "import mmcv._ext; assert mmcv._ext.nms == 'compiled'"
    )
    assert done.returncode == 0, done.stderr


def test_a_broken_compiled_module_is_an_error(tmp_path):
    (tmp_path / "_ext.py").write_text("raise ImportError('undefined symbol')")
    done = run(f"import mmcv; mmcv.__path__.append({str(tmp_path)!r})\nfrom mmbeit3 import openmmlab\nopenmmlab.provide_ops()")
    assert done.returncode != 0
    assert "built for another torch" in done.stderr


def test_a_stub_of_mask2former_is_refused():
    """If mmseg is imported before the ops are provided, it must not silently contain a stub of the head."""
    done = run("import os; os.environ['MMBEIT3_MMCV_OPS'] = '0'\nimport mmseg.models\nimport mmbeit3.registry")
    assert done.returncode != 0
    assert "import mmbeit3.registry first" in done.stderr


def test_missing_packages_are_named():
    from mmbeit3.extras import require

    require("mmengine", "mmcv")
    with pytest.raises(ImportError, match=r"no_such_package.*pip install"):
        require("no_such_package")
