"""Demo: render shapes, train a detector and a segmentor on them, evaluate both, and write a report with pictures."""

import argparse
import time
from pathlib import Path

from mmbeit3.cli import run

OUT = Path("work_dirs/demo")
MODELS = (
    ("Detection: Mask R-CNN", "detection", "mmbeit3::shapes/mask-rcnn_beit3-adapter-t_shapes.py"),
    ("Segmentation: Mask2Former", "segmentation", "mmbeit3::shapes/beit3-adapter-t_mask2former_shapes.py"),
)


def main() -> None:
    """Parse arguments and run the demo."""
    argparse.ArgumentParser(description=__doc__).parse_args()

    import cv2
    import numpy as np

    from mmbeit3.datasets.shapes import make_shapes_dataset
    from mmbeit3.demos.training import last_checkpoint, print_end, read_scores, show_training, train_config
    from mmbeit3.images import write_image
    from mmbeit3.visualization import Section, write_report

    begin = time.monotonic()
    data = make_shapes_dataset("data/shapes")
    drawn = {}
    sections = [
        Section(
            "About this report",
            f"Two models with a tiny BEiT-3 and a ViT-Adapter, trained from random weights on the synthetic images in {data} "
            "and evaluated on held-out images.",
        )
    ]
    for title, name, config in MODELS:
        start = time.monotonic()
        work_dir = train_config(config, OUT / name, f"training {name}")
        minutes = (time.monotonic() - start) / 60
        scores = {**read_scores(work_dir), "minutes of training and evaluation": minutes}
        rows, drawn[name] = show_training(config, work_dir)
        weights = work_dir / last_checkpoint(work_dir).name
        sections.append(Section(title, f"Config {config}, weights {weights}.", scores, rows))
        print(f"{title}: " + ", ".join(f"{label} {value:.3f}" for label, value in scores.items()))
        write_report(OUT / "report.html", "mmbeit3 demo", sections)
    # One picture for both models: image, ground truth and predicted objects, ground truth and predicted regions.
    both = [[*drawn["detection"][index], *drawn["segmentation"][index][1:]] for index in (1, 2, 6)]
    picture = cv2.resize(np.vstack([np.hstack(row) for row in both]), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    write_image(OUT / "pictures.jpg", picture[..., ::-1])
    print_end(OUT / "report.html", begin, OUT / "detection")


if __name__ == "__main__":
    run(main)
