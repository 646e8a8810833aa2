"""The model of a tab: found when the page starts, without loading or downloading."""

import pytest

pytest.importorskip("mmdet")

from mmbeit3.errors import UserError
from mmbeit3.web.source import Source

CONFIG = """
default_scope = "mmdet"
model = dict(type="Nothing")
test_dataloader = dict(dataset=dict(type="CocoDataset", data_root={root!r}, data_prefix=dict(img="images/")))
"""


@pytest.fixture
def work_dir(tmp_path):
    """Work dir of a training, and the folder of its images."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "small.py").write_text(CONFIG.format(root=f"{tmp_path}/data"))
    (folder / "epoch_2.pth").touch()
    (folder / "last_checkpoint").write_text("/moved/epoch_2.pth")
    (tmp_path / "data" / "images").mkdir(parents=True)
    return folder


def test_a_work_dir(work_dir, tmp_path):
    source = Source(str(work_dir))
    assert source.checkpoint == work_dir / "epoch_2.pth"
    assert source.note == "small, weights epoch_2.pth"
    assert source.folder == tmp_path / "data" / "images"


def test_a_config_and_a_checkpoint(work_dir):
    source = Source(str(work_dir / "small.py"), "https://example.org/weights.pth")
    assert source.note == "small, weights weights.pth"
    assert Source(str(work_dir / "small.py"), str(work_dir / "epoch_2.pth"), "cpu").device == "cpu"


def test_a_name_of_the_zoo_is_not_downloaded(monkeypatch):
    monkeypatch.setattr("mmbeit3.inference.loading.fetch", lambda _: pytest.fail("downloaded"))
    from mmbeit3.zoo import read_index

    name = next(name for name, model in read_index().items() if model.config)
    source = Source(name)
    assert source.checkpoint is None


@pytest.mark.parametrize("device", ["cuda:99", "gpu"])
def test_a_device_that_is_not_there(work_dir, device):
    with pytest.raises(UserError, match=f"device '{device}' cannot be used .*: give cpu, or cuda") as error:
        Source(str(work_dir), device=device)
    assert "\n" not in str(error.value)


def test_images_that_are_not_there(work_dir, tmp_path):
    (tmp_path / "data" / "images").rmdir()
    assert Source(str(work_dir)).folder is None
    (work_dir / "small.py").write_text("model = dict(type='Nothing')")
    assert Source(str(work_dir)).folder is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("{}/none.py", "{}/epoch_2.pth"), "does not exist"),
        (("{}/small.py",), "needs a checkpoint"),
        (("{}/small.py", "{}/none.pth"), "none.pth' does not exist: check the path"),
        (("nowhere",), "'nowhere' is neither a config file, nor a folder with a model, nor in the zoo"),
        (("{}/..",), "has no config"),
    ],
)
def test_models_that_are_not_there(work_dir, arguments, message):
    with pytest.raises(UserError, match=message):
        Source(*(argument.format(work_dir) for argument in arguments))
