"""Demo: render shapes, train a detector and a segmentor on them, evaluate both, and write a report with pictures."""

import argparse
import time
from pathlib import Path

from mmbeit3.cli import run
from mmbeit3.terminal import quiet_terminal

OUT = Path("work_dirs/demo")
MODELS = (
    ("Detection: Mask R-CNN", "detection", "objects", "mmbeit3::shapes/mask-rcnn_beit3-adapter-t_shapes.py"),
    ("Segmentation: Mask2Former", "segmentation", "regions", "mmbeit3::shapes/beit3-adapter-t_mask2former_shapes.py"),
)


def main() -> None:
    """Parse arguments and run the demo."""
    argparse.ArgumentParser(description=__doc__).parse_args()

    with quiet_terminal():
        from mmbeit3.datasets.shapes import make_shapes_dataset
        from mmbeit3.demos.pictures import draw_models
        from mmbeit3.demos.training import last_checkpoint, model_section, print_end, read_scores, train_config
        from mmbeit3.images import write_image
        from mmbeit3.inference import load_model
        from mmbeit3.visualization import Section, write_report

    begin = time.monotonic()
    data = make_shapes_dataset("data/shapes")
    sections = [
        Section(
            "About this report",
            f"Two models with a tiny BEiT-3 and a ViT-Adapter, trained from random weights on the synthetic images in {data} "
            "and evaluated on held-out images. Scores are in percent.",
        )
    ]
    for title, name, _, config in MODELS:
        start = time.monotonic()
        work_dir = train_config(config, OUT / name, f"training {name}")
        minutes = (time.monotonic() - start) / 60
        scores = read_scores(work_dir)
        sections.append(model_section(title, config, work_dir, scores, minutes))
        print(f"{title}: " + ", ".join(f"{label} {value:.1f}" for label, value in scores.items()) + f", {minutes:.1f} minutes")
        write_report(OUT / "report.html", "mmbeit3 demo", sections)
    with quiet_terminal():
        models = {what: load_model(config, last_checkpoint(OUT / name)) for _, name, what, config in MODELS}
        picture = draw_models(models, images=(2, 6))
    write_image(OUT / "pictures.jpg", picture[..., ::-1])
    print_end(OUT / "report.html", begin, OUT / "detection")


if __name__ == "__main__":
    run(main)
