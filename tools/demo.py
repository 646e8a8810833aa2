"""The demo: render shapes, train a detector and a segmentor on them, evaluate both, and write a report with pictures."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from mmengine.registry import DATASETS, VISUALIZERS
from torch import no_grad

from mmbeit3.apis.cli import run
from mmbeit3.apis.inference import load_model
from mmbeit3.datasets.shapes import make_shapes_dataset
from mmbeit3.errors import UserError
from mmbeit3.visualization import Figure, Section, write_report
from mmbeit3.visualization.curves import draw_curve, read_scalars

OUT = Path("work_dirs/demo")
MODELS = (
    ("Detection: Mask R-CNN", "detection", "configs/shapes/mask-rcnn_beit3-adapter-t_shapes.py"),
    ("Segmentation: Mask2Former", "segmentation", "configs/shapes/beit3-adapter-t_mask2former_shapes.py"),
)
SCORES = {
    "coco/bbox_mAP": "box AP",
    "coco/bbox_mAP_50": "box AP50",
    "coco/segm_mAP": "mask AP",
    "mIoU": "mIoU in percent",
    "aAcc": "pixel accuracy in percent",
}


def train(config: str, name: str) -> Path:
    """Train a config with its progress bar on this terminal; returns its work dir."""
    work_dir = OUT / name
    command = [sys.executable, "tools/train.py", config, "--work-dir", str(work_dir), "--progress", f"training {name}"]
    if subprocess.run(command, check=False).returncode:
        raise UserError(f"training of {config} failed; its log is in {work_dir}")
    return work_dir


def pictures(config: str, checkpoint: Path, count: int) -> list[list[Figure]]:
    """Image, ground truth and prediction of the first validation images."""
    model, cfg = load_model(config, checkpoint)
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    visualizer = VISUALIZERS.build({**cfg.visualizer, "vis_backends": []})
    visualizer.dataset_meta = dataset.metainfo
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for index in range(count):
            item = dataset[index]
            with no_grad():
                sample = model.test_step({"inputs": [item["inputs"]], "data_samples": [item["data_samples"]]})[0].cpu()
            image = cv2.imread(sample.img_path)[..., ::-1].copy()
            drawn = f"{folder}/{index}.png"
            visualizer.add_datasample("image", image, sample, draw_gt=True, show=False, out_file=drawn)
            truth, predicted = np.split(cv2.imread(drawn)[..., ::-1], 2, axis=1)
            larger = [cv2.resize(i, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC) for i in (image, truth, predicted)]
            rows.append(
                [Figure(i, c) for i, c in zip(larger, ("image", "ground truth", "prediction"), strict=True)],
            )
    return rows


def main() -> None:
    """Run everything."""
    data = make_shapes_dataset("data/shapes")
    sections = [
        Section(
            "What this is",
            f"Two models around a tiny BEiT-3 with a ViT-Adapter, trained from random weights on the made images in {data} and "
            "evaluated on images that were not trained on.",
        )
    ]
    for title, name, config in MODELS:
        start = time.monotonic()
        work_dir = train(config, name)
        minutes = (time.monotonic() - start) / 60
        scalars = read_scalars(work_dir)
        final = {key: value for line in scalars for key, value in line.items()}
        scores = {label: final[key] for key, label in SCORES.items() if key in final}
        scores["minutes of training and evaluation"] = minutes
        checkpoint = Path((work_dir / "last_checkpoint").read_text())
        rows = [[Figure(draw_curve(scalars), "training loss")], *pictures(config, checkpoint, 8)]
        sections.append(Section(title, f"Config {config}, weights {checkpoint}.", scores, rows))
        print(f"{title}: " + ", ".join(f"{label} {value:.3f}" for label, value in scores.items()))
        write_report(OUT / "report.html", "mmbeit3 demo", sections)
    print(f"report in {OUT / 'report.html'}")


if __name__ == "__main__":
    run(main)
