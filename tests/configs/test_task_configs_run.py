"""Configs of the five tasks train, validate and test on small generated data in the official formats."""

import json
import math

import pytest
from mmengine.config import Config

from mmbeit3.runner.build import build_runner
from tests.configs.tasks import use, walk, write_files
from tests.datasets import made
from tests.paths import ROOT

pytest.importorskip("mmpretrain")
pytest.importorskip("sentencepiece")

SMALL = 32
ARCH = {"embed_dims": 48, "num_layers": 2, "num_heads": 3, "ffn_dims": 96, "vocab_size": 60, "image_size": SMALL}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_files(tmp_path_factory.mktemp("files"))


def make_data(task, folder):
    """Write a task's data under ``folder``, in the layout that its config expects."""
    if task == "vqa":
        made.vqa(folder, images=4)
        vqa = folder / "vqa"
        vqa.mkdir()
        questions = (folder / "questions.json").read_text()
        for split in ("train2014", "val2014", "test2015"):
            (vqa / f"v2_OpenEnded_mscoco_{split}_questions.json").write_text(questions)
            (vqa / f"v2_mscoco_{split}_annotations.json").write_text((folder / "annotations.json").read_text())
            if split != "val2014":
                (folder / split).symlink_to(folder / "val2014")
    elif task == "nlvr2":
        made.nlvr2(folder)
        (folder / "data").mkdir()
        for name, split in (("train", "train"), ("dev", "dev"), ("test1", "dev")):
            (folder / "data" / f"{name}.json").write_text((folder / f"{split}.json").read_text())
        (folder / "images" / "test1").symlink_to(folder / "images" / "dev")
    elif task in ("coco", "flickr30k"):
        place = folder if task == "coco" else folder / "flickr30k-images"
        made.karpathy(place, coco=task == "coco").rename(folder / f"dataset_{task}.json")
    elif task == "nocaps":
        made.karpathy(folder).rename(folder / "dataset_coco.json")
        images = [{"id": i, "file_name": f"{i}.png"} for i in range(2)]
        notes = [{"image_id": i, "caption": caption} for i in range(2) for caption in made.CAPTIONS]
        for split, file, captions in (
            ("val", "nocaps_val_4500_captions.json", notes),
            ("test", "nocaps_test_image_info.json", []),
        ):
            made.write(folder / file, {"images": images, "annotations": captions})
            for i in range(2):
                made.image(folder / split / f"{i}.png", seed=i)
    elif task == "imagenet":
        for split in ("train", "val"):
            for label, name in enumerate(("blue", "red")):
                for number in range(2):
                    made.image(folder / split / name / f"{number}.png", seed=label)


def shrink(cfg, folder, files):
    """Change a config to the tiny network, tiny images and generated data, on the CPU."""
    use(cfg, files)
    for part in walk(cfg):
        if "data_root" in part:
            part["data_root"] = str(folder)
        for key in ("scale", "crop_size"):
            if key in part:
                part[key] = (SMALL, SMALL) if isinstance(part[key], tuple) else SMALL
        if part.get("type") == "mmbeit3.VQAv2" and part.get("part"):
            part["held_out_images"] = 1
        if "submission" in part:
            part["submission"] = str(folder / "submission.json")
        if part.get("type") == "mmpretrain.ImageNet":
            part["metainfo"] = {"classes": ["blue", "red"]}
        if "batch_size" in part:
            part.update(batch_size=2, num_workers=0, persistent_workers=False)
    cfg.model.network.update(arch=ARCH, drop_path_rate=0.1)
    for key in ("image_size", "with_cp"):
        cfg.model.network.pop(key, None)
    if "num_classes" in cfg.model.network:
        cfg.model.network.num_classes = 2
    cfg.model.pop("init_cfg")
    cfg.train_cfg.max_epochs = 1
    cfg.param_scheduler = []
    cfg.optim_wrapper = {**cfg.optim_wrapper, "type": "OptimWrapper"}
    cfg.optim_wrapper.pop("dtype")
    cfg.env_cfg = {"dist_cfg": {"backend": "gloo"}}
    cfg.work_dir = str(folder / "work_dir")
    cfg.experiment_name = folder.name
    return cfg


RUN = {
    "vqa": "vqa/beit3-b_8xb16-10e_vqav2-480x480.py",
    "nlvr2": "nlvr2/beit3-b_8xb32-20e_nlvr2-224x224.py",
    "coco": "captioning/beit3-b_8xb32-10e_coco-480x480.py",
    "nocaps": "captioning/beit3-b_8xb32-10e_nocaps-480x480.py",
    "flickr30k": "retrieval/beit3-b_16xb192-20e_flickr30k-384x384.py",
    "imagenet": "imagenet/beit3-b_8xb128-50e_in1k-224x224.py",
}
METRICS = {
    "vqa": None,  # the test split has no answers
    "nlvr2": "accuracy/top1",
    "coco": "caption/CIDEr",
    "nocaps": None,
    "flickr30k": "retrieval/mean",
    "imagenet": "accuracy/top1",
}


@pytest.mark.parametrize("task", RUN)
def test_trains_validates_and_tests_on_made_data(task, tmp_path, files, monkeypatch):
    # MMEngine formats the whole config as text eight times, which would take most of the test's time.
    monkeypatch.setattr(Config, "pretty_text", property(lambda self: repr(self)))
    make_data(task, tmp_path)
    cfg = shrink(Config.fromfile(ROOT / "configs" / RUN[task]), tmp_path, files)
    if task == "imagenet":
        cfg.val_evaluator.topk = cfg.test_evaluator.topk = (1, 2)
    if task in ("coco", "nocaps"):
        cfg.model.max_length = 6
    if task == "flickr30k":
        bad = tmp_path / "flickr30k-images" / "0.jpg"
    elif task == "nlvr2":
        bad = tmp_path / "images" / "test1" / "dev-5-1-img1.png"
    else:
        bad = None
    if bad is not None:
        bad.write_bytes(b"damaged")
    runner = build_runner(cfg, ("train", "val", "test"))
    runner.train()
    assert runner.iter > 0
    metrics = runner.test()
    if METRICS[task] is None:
        assert not metrics
    else:
        assert math.isfinite(metrics[METRICS[task]])
    if bad is not None:
        assert metrics[METRICS[task].split("/")[0] + "/unreadable"] == 1
    if "submission" in cfg.test_evaluator:
        predictions = json.loads((tmp_path / "submission.json").read_text())
        assert len(predictions) == {"vqa": 8, "coco": 2, "nocaps": 2}[task]
