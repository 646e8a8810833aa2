"""A broken optional library is left aside."""

import subprocess
import sys

import pytest

BREAK = """
import sys, importlib.abc, importlib.machinery

class Broken(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path, target=None):
        return importlib.machinery.ModuleSpec(name, self) if name == {name!r} else None
    def create_module(self, spec):
        return None
    def exec_module(self, module):
        raise {error}

sys.meta_path.insert(0, Broken())
"""


@pytest.mark.parametrize(
    ("name", "error"),
    [("modelindex", "ModuleNotFoundError('no modelindex')"), ("mmpretrain.structures", "AttributeError('changed')")],
)
def test_detection_works_beside_a_broken_mmpretrain(name, error):
    pytest.importorskip("mmpretrain")
    code = BREAK.format(name=name, error=error) + (
        "import mmbeit3.registry\nassert 'mmpretrain' not in sys.modules\n"
        "import mmdet.models\nfrom mmengine.registry import MODELS\n"
        "print(MODELS.build({'type': 'mmbeit3.BEiT3Vision', 'arch': 'tiny'}).embed_dims)\n"
        "try:\n    import mmpretrain.models\nexcept ImportError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-1500:]
    assert done.stdout.splitlines()[-2] == "192"
    assert ("no modelindex" if name == "modelindex" else "is installed but broken (AttributeError: changed)") in done.stdout
