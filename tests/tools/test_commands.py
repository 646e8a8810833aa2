"""The commands, as they are called: bad input ends in one line that names what and where, and a non-zero exit."""

import json
import os

import cv2
import numpy as np
import pytest
import torch

from mmbeit3.datasets.shapes import make_shapes_dataset
from tests.paths import ROOT
from tests.tools.calls import refused

CONFIG = str(ROOT / "configs" / "shapes" / "mask-rcnn_beit3-adapter-t_shapes.py")


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    return make_shapes_dataset(tmp_path_factory.mktemp("commands") / "shapes", train=8, val=2, size=64)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def data(folder, shapes):
    (folder / "data").mkdir()
    (folder / "data" / "shapes").symlink_to(shapes)
    return folder / "data" / "shapes"


@pytest.fixture
def image(folder):
    path = folder / "image.png"
    cv2.imwrite(str(path), np.full((64, 80, 3), 128, np.uint8))
    return str(path)


def test_missing_data(call, folder):
    refused(call("train", CONFIG), "train_dataloader: data folder 'data/shapes'", "set data_root")


def test_category_that_the_config_lacks(call, folder, shapes):
    other = folder / "data" / "shapes"
    (other / "annotations").mkdir(parents=True)
    for split in ("train2017", "val2017"):
        (other / split).symlink_to(shapes / split)
        content = json.loads((shapes / "annotations" / f"instances_{split}.json").read_text())
        content["categories"][0]["name"] = "disc"
        (other / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))
    refused(call("train", CONFIG), "instances_train2017.json' has annotations of disc", "metainfo.classes")


def test_heads_for_another_number_of_classes(call, data):
    refused(
        call("train", CONFIG, "--cfg-options", "model.roi_head.mask_head.num_classes=80"),
        "train_dataloader has 6 classes, but model.roi_head.mask_head has 80",
    )


def test_unknown_architecture(call, data):
    refused(call("train", CONFIG, "--cfg-options", "model.backbone.vit.arch=huge"), "'huge'", "tiny, base, large, giant")


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ("val_evaluator.metrik=bbox", "unexpected keyword argument 'metrik'"),
        ("val_dataloader.dataset.type=CocoDatset", "CocoDatset is not in"),
        ("train_dataloader.sampler.type=Sampler", "Sampler"),
    ],
)
def test_parts_that_training_would_come_to_later(call, data, option, reason):
    refused(call("train", CONFIG, "--cfg-options", option), "the config cannot be built", reason)


def test_config_that_is_missing_or_broken(call, folder):
    refused(call("train", "none.py"), "config 'none.py' does not exist")
    (folder / "broken.py").write_text("model = dict(\n")
    refused(call("train", "broken.py"), "config 'broken.py' cannot be read")


def test_image_that_cannot_be_read_in_training(call, folder, shapes):
    broken = make_shapes_dataset(folder / "data" / "shapes", train=8, val=2, size=64)
    images = list((broken / "train2017").iterdir())
    content = images[-1].read_bytes()
    images[-1].write_bytes(content[:-10])
    refused(call("train", CONFIG), f"train_dataloader: image 'data/shapes/train2017/{images[-1].name}' is truncated")
    # A file that is damaged inside shows it only when it is decoded, in a worker of the data loader.
    noise = cv2.imencode(".png", np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))[1].tobytes()
    for image in images:
        image.write_bytes(noise[:500] + bytes([noise[500] ^ 255]) + noise[501:])
    code, stderr = call("train", CONFIG)
    assert code == 2
    assert stderr.splitlines()[-1].startswith("error: image 'data/shapes/train2017/")
    assert "is damaged" in stderr.splitlines()[-1]


def test_image_that_cannot_be_read_in_prediction(call, folder, weights):
    (folder / "text.jpg").write_text("no image")
    model = (CONFIG, "--checkpoint", weights)
    refused(call("predict", *model[:1], "text.jpg", *model[1:], "--out", "a.png"), "image 'text.jpg' is not an image")
    refused(call("predict", *model[:1], "none.jpg", *model[1:], "--out", "a.png"), "image 'none.jpg' does not exist")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Weights of the config's model, untrained."""
    from mmengine.config import Config
    from mmengine.registry import MODELS, init_default_scope

    cfg = Config.fromfile(CONFIG)
    init_default_scope(cfg.default_scope)
    path = tmp_path_factory.mktemp("weights") / "shapes.pth"
    torch.save({"state_dict": MODELS.build(cfg.model).state_dict()}, path)
    return path


@pytest.fixture(params=["test", "predict", "train"])
def with_checkpoint(request, call, data, image):
    """Call each tool that takes a checkpoint."""

    def calling(checkpoint):
        arguments = {
            "test": (CONFIG, checkpoint),
            "predict": (CONFIG, image, "--checkpoint", checkpoint),
            "train": (CONFIG, "--cfg-options", f"load_from={checkpoint}"),
        }
        return call(request.param, *arguments[request.param])

    return calling


def test_truncated_checkpoint(with_checkpoint, folder, weights):
    (folder / "cut.pth").write_bytes(weights.read_bytes()[:100_000])
    refused(with_checkpoint("cut.pth"), "checkpoint 'cut.pth' is damaged")


def test_checkpoint_that_would_run_code(with_checkpoint, folder):
    class Evil:
        def __reduce__(self):
            return open, (str(folder / "was_here"), "w")

    torch.save({"state_dict": {"weight": torch.ones(2)}, "extra": Evil()}, folder / "evil.pth")
    refused(with_checkpoint("evil.pth"), "checkpoint 'evil.pth' was refused", "open")
    assert not (folder / "was_here").exists()


def test_missing_checkpoint(with_checkpoint):
    refused(with_checkpoint("none.pth"), "checkpoint 'none.pth' does not exist")


def test_checkpoint_of_another_architecture(call, data, folder, weights):
    state = torch.load(weights, weights_only=True)["state_dict"]
    torch.save({"state_dict": state | {"rpn_head.rpn_conv.weight": torch.zeros(256, 96, 3, 3)}}, folder / "other.pth")
    refused(
        call("test", CONFIG, "other.pth"),
        "rpn_head.rpn_conv.weight has shape 256x96x3x3 in the file and 96x96x3x3 in the model",
    )


def test_backbone_weights_of_another_architecture(call, data, folder):
    from mmbeit3.models.beit3 import BEiT3

    torch.save({"model": BEiT3({"base": "tiny", "embed_dims": 96, "ffn_dims": 384}).state_dict()}, folder / "narrow.pth")
    options = ("model.backbone.vit.init_cfg.type=Pretrained", "model.backbone.vit.init_cfg.checkpoint=narrow.pth")
    code, stderr = call("train", CONFIG, "--cfg-options", *options)
    assert code == 2
    assert "its vision tower is 96 wide with 8 layers, the model's is 192 wide with 8" in stderr.splitlines()[-1]


def test_test_evaluates(call, data, weights):
    code, _ = call("test", CONFIG, weights, "--work-dir", "out")
    assert code == 0
    (scores,) = data.parent.parent.glob("out/*/*.json")
    assert "coco/bbox_mAP" in json.loads(scores.read_text())


def test_predict_draws(call, folder, image, weights):
    assert call("predict", CONFIG, image, "--checkpoint", weights, "--out", "drawn.png")[0] == 0
    # Small images are enlarged by a whole factor.
    height, width = cv2.imread("drawn.png").shape[:2]
    assert height % 64 == width % 80 == 0
    refused(
        call("predict", CONFIG, image, image, "--checkpoint", weights, "--out", "drawn.png"),
        "--out 'drawn.png' is a picture, but there are several images",
    )


def test_predict_a_folder(call, folder, image, weights):
    """One broken file loses nobody else's results, and is named."""
    for name in ("deep/a.JPG", os.fsdecode(b"caf\xe9.png")):
        (folder / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "photos" / name).write_bytes((folder / image).read_bytes())
    (folder / "photos" / "._hidden.png").touch()
    arguments = ("predict", CONFIG, "photos", "--checkpoint", weights)
    assert call(*arguments) == (0, "")
    out = folder / "work_dirs" / "predict" / "photos"
    drawn = [out / "pictures" / os.fsdecode(b"caf\xe9.png"), out / "pictures" / "deep" / "a.JPG"]
    assert sorted(path for path in (out / "pictures").rglob("*") if path.is_file()) == drawn
    (folder / "photos" / "broken.png").write_text("no image")
    assert call(*arguments) == (
        2,
        "skipped: image 'photos/broken.png' is not an image or is damaged: give a JPEG or PNG file\n"
        "error: 1 of 3 images cannot be read; results of the others are in 'work_dirs/predict/photos'\n",
    )
    refused(call(*arguments, "--out", "photos/drawn"), "is inside of the image folder 'photos'")
    refused(call(*arguments, "--score", "0.9"), "'work_dirs/predict/photos' has the results of another model or other settings")


def test_predict_refuses(call, folder, image, weights):
    """Bad input ends in one line each."""
    (folder / "empty").mkdir()
    (folder / "video.mp4").write_bytes(b"no video")
    with_weights = ("--checkpoint", weights)
    refused(call("predict", CONFIG, "empty", *with_weights), "folder 'empty' has no images: add files that end in")
    refused(call("predict", CONFIG, "video.mp4", *with_weights), "video 'video.mp4' cannot be read: it is damaged, or OpenCV")
    options = ("--tile", "64", "--overlap", "64")
    refused(
        call("predict", CONFIG, image, *with_weights, *options), "overlap must be a whole number from 0 to below the tile's 64"
    )
    refused(call("predict", "empty", image), "model folder 'empty' has no config")
    (folder / "empty" / "config.py").write_text("")
    refused(call("predict", "empty", image), "model folder 'empty' has no weights")


def test_make_shapes_dataset(call, folder):
    assert call("make_shapes_dataset", "here", "--train", 2, "--val", 1, "--size", 64)[0] == 0
    assert len(list((folder / "here" / "train2017").iterdir())) == 2


def test_a_loss_that_is_no_number(call, data):
    """Every training looks at its loss, also by a config whose own hooks lack that."""
    options = [
        "optim_wrapper.optimizer.lr=1e25",
        "param_scheduler=[]",
        "custom_hooks=[]",
        "default_hooks.checkpoint.interval=9",
    ]
    refused(call("train", CONFIG, "--cfg-options", *options), "step 2: loss nan, ", "train2017/", "lower the learning rate")
