"""Changes to other packages' modules wait for their import."""

import importlib
import subprocess
import sys

import pytest

from mmbeit3.import_hooks import after_import


@pytest.fixture
def package(tmp_path, monkeypatch):
    folder = tmp_path / "hooked_package"
    folder.mkdir()
    (folder / "__init__.py").write_text("from hooked_package.part import value")
    (folder / "part.py").write_text("value = 1")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield folder
    for name in ("hooked_package", "hooked_package.part"):
        sys.modules.pop(name, None)


def test_called_after_the_module_and_before_its_importer_goes_on(package):
    def change():
        sys.modules["hooked_package.part"].value = 2

    after_import("hooked_package.part", change)
    assert "hooked_package" not in sys.modules
    module = importlib.import_module("hooked_package")
    assert module.value == 2
    part = importlib.import_module("hooked_package.part")
    assert type(part.__loader__).__name__ == type(part.__spec__.loader).__name__ == "SourceFileLoader"


def test_called_once_and_at_once_for_an_imported_module(package):
    calls = []
    after_import("hooked_package.part", lambda: calls.append("later"))
    importlib.import_module("hooked_package")
    importlib.reload(sys.modules["hooked_package.part"])
    assert calls == ["later"]
    after_import("hooked_package.part", lambda: calls.append("at once"))
    assert calls == ["later", "at once"]


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_the_registry_imports_little_and_changes_libraries_when_they_come():
    done = run(
        "import sys, mmbeit3.registry\n"
        "heavy = {'mmcv.ops', 'mmcv._ext', 'torch._dynamo', 'mmengine.runner', 'mmdet', 'mmseg', 'timm'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "from mmcv.ops.multi_scale_deform_attn import multi_scale_deformable_attn_pytorch as attention\n"
        "assert hasattr(attention, '__wrapped__')\n"
        "from mmengine.runner.checkpoint import CheckpointLoader, load_from_http\n"
        "from mmbeit3.checkpoint.guard import load_from_safe_reader\n"
        "assert load_from_http is load_from_safe_reader\n"
        "assert CheckpointLoader._get_checkpoint_loader('a.pth') is load_from_safe_reader\n"
        "from mmengine.registry import MODELS\n"
        "assert MODELS.build({'type': 'mmbeit3.BEiT3Vision', 'arch': 'tiny'}).embed_dims == 192\n"
    )
    assert done.returncode == 0, done.stderr[-1500:]
