"""What can be imported where packages are missing."""

import re
import subprocess
import sys

import pytest

from tests.paths import ROOT

WITHOUT = """
import sys
for name in {missing}:
    sys.modules[name] = None
{statement}
"""


def run(statement, *missing):
    code = WITHOUT.format(missing=missing, statement=statement)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "statement",
    [
        "from mmbeit3.models.beit3 import BEiT3; BEiT3('tiny')",
        "import mmbeit3.checkpoint, mmbeit3.ops, mmbeit3.downloads, mmbeit3.zoo, mmbeit3.images",
        "import mmbeit3.pretrain, mmbeit3.pretrain.image_tokenizers, mmbeit3.pretrain.data, mmbeit3.pretrain.views",
    ],
)
def test_the_network_needs_nothing_of_openmmlab(statement):
    done = run(statement, "mmengine", "mmcv", "mmdet", "mmseg")
    assert done.returncode == 0, done.stderr


def test_without_mmengine_the_registry_says_what_to_install():
    done = run(
        "import importlib.util as u; find = u.find_spec\n"
        "import mmbeit3.extras as o; o.find_spec = lambda n: None if n == 'mmengine' else find(n)\n"
        "import mmbeit3.registry"
    )
    assert done.returncode == 1
    assert "mmengine cannot be imported: pip install 'mmbeit3[det]'" in done.stderr


def test_the_package_does_not_import_benchmarks():
    """A wheel does not contain them."""
    pattern = re.compile(r"^\s*(?:from|import) benchmarks\b", re.M)
    assert not [path for path in (ROOT / "mmbeit3").rglob("*.py") if pattern.search(path.read_text(encoding="utf-8"))]
