"""Finding what comes with the package, from where the tests run."""

from pathlib import Path

import pytest

import mmbeit3
from mmbeit3.errors import UserError
from mmbeit3.extras import explain, require
from mmbeit3.resources import config_path, path_of

CONFIG = "shapes/mask-rcnn_beit3-adapter-t_shapes.py"


def test_files_and_folders_are_found():
    assert path_of("configs").is_dir()
    assert path_of("model-index.yml").parent == path_of("tools/train.py").parents[1]
    assert path_of(f"configs/{CONFIG}").is_absolute()
    assert mmbeit3.path_of is path_of


def test_a_wheels_own_files_come_before_what_lies_beside_it(tmp_path, monkeypatch):
    """Other packages' folders called ``tools`` or ``configs`` are often beside a wheel's package."""
    for folder in ("configs", "tools", "mmbeit3/.mim/configs"):
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.setattr("mmbeit3.resources._PACKAGE", tmp_path / "mmbeit3")
    assert path_of("configs") == tmp_path / "mmbeit3" / ".mim" / "configs"
    with pytest.raises(UserError, match="no 'tools'"):
        path_of("tools")


def test_configs_are_named_or_given_as_paths():
    assert config_path(f"mmbeit3::{CONFIG}") == path_of("configs") / CONFIG
    assert config_path("configs/mine.py") == Path("configs/mine.py")
    with pytest.raises(UserError, match=r"has no 'configs/shapes/none\.py'"):
        config_path("mmbeit3::shapes/none.py")


def test_missing_packages_are_explained_by_the_extra_that_brings_them():
    with pytest.raises(ModuleNotFoundError) as caught:
        import mmbeit3.no_such_module  # noqa: F401
    assert explain(caught.value) is None
    assert explain(ImportError("no", name="gradio.blocks")) == "gradio cannot be imported: pip install 'mmbeit3[app]'"
    with pytest.raises(ImportError, match="no_such_package cannot be imported"):
        require("torch", "no_such_package")
