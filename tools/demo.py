"""The demo: render shapes, train a detector and a segmentor on them, evaluate both, and write a report with pictures."""

import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np

from mmbeit3.apis.cli import run
from mmbeit3.apis.comparison import compare_with_truth
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
CAPTIONS = ("image", "ground truth", "prediction")
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


def main() -> None:
    """Run everything."""
    data = make_shapes_dataset("data/shapes")
    drawn = {}
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
        drawn[name] = pictures = list(compare_with_truth(*load_model(config, checkpoint), count=8, factor=4))
        rows = [[Figure(draw_curve(scalars), "training loss")]]
        rows += [[Figure(*pair, lossy=True) for pair in zip(row, CAPTIONS, strict=True)] for row in pictures]
        sections.append(Section(title, f"Config {config}, weights {work_dir / checkpoint.name}.", scores, rows))
        print(f"{title}: " + ", ".join(f"{label} {value:.3f}" for label, value in scores.items()))
        write_report(OUT / "report.html", "mmbeit3 demo", sections)
    # One picture of both: image, true and found objects, true and found regions.
    both = [[*drawn["detection"][index], *drawn["segmentation"][index][1:]] for index in (1, 2, 6)]
    picture = cv2.resize(np.vstack([np.hstack(row) for row in both]), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(OUT / "pictures.jpg"), picture[..., ::-1])
    print(f"report in {OUT / 'report.html'}")


if __name__ == "__main__":
    run(main)
