"""Demo on real images: train a detector of blood cells, evaluate it, and write a report. A second call continues."""

import argparse
import time
from pathlib import Path

from mmbeit3.cli import run
from mmbeit3.terminal import quiet_terminal

OUT = Path("work_dirs/real-demo")
WEIGHTS = Path("checkpoints/dinov2_vits14.safetensors")
FROZEN = "mmbeit3::real/faster-rcnn_dinov2-adapter-s-frozen_bccd.py"
RANDOM = "mmbeit3::real/faster-rcnn_beit3-adapter-t_bccd.py"


def main() -> None:
    """Parse arguments and run the demo."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", metavar="PATH", help="a copy of BCCD, folder or archive (default: data/bccd, or download it)")
    parser.add_argument("--weights", type=Path, metavar="FILE", help=f"weights of DINOv2 ViT-S/14 ({WEIGHTS}, if it exists)")
    args = parser.parse_args()

    with quiet_terminal():
        from mmbeit3.datasets.prepared import prepare_dataset
        from mmbeit3.demos.training import model_section, print_end, train_once
        from mmbeit3.errors import UserError
        from mmbeit3.visualization import Section, write_report

    begin = time.monotonic()
    if args.weights is not None and not args.weights.is_file():
        raise UserError(f"'{args.weights}' does not exist: check --weights")
    weights = args.weights or (WEIGHTS if WEIGHTS.is_file() else None)
    data = prepare_dataset("bccd", source=args.data, tell=print)
    print(f"data in {data.folder}: " + ", ".join(f"{split} {count} images" for split, count in data.splits.items()))
    config, options, start = RANDOM, {}, "a tiny BEiT-3 from random weights, in a ViT-Adapter"
    if weights is not None:
        config, start = FROZEN, f"a frozen DINOv2 ViT-S/14 from {weights}, in a ViT-Adapter"
        options = {"model.backbone.vit.init_cfg.checkpoint": weights}
    print(f"model: Faster R-CNN with {start}")
    if weights is None:
        print(f"note: with the weights of DINOv2 ViT-S/14 as {WEIGHTS}, the detector would use that ViT, frozen")
    # A folder for each start: a training never continues from the other one's checkpoint.
    work_dir = OUT / ("random" if weights is None else "dinov2")
    scores = train_once(config, work_dir, "training", options)
    minutes = scores.pop("minutes")
    print(", ".join(f"{label} {value:.1f}" for label, value in scores.items()) + f", {minutes:.1f} minutes")
    text = (
        f"A detector of red cells, white cells and platelets with {start}. Trained on {data.splits['train']} photographs "
        f"of BCCD (github.com/Shenggan/BCCD_Dataset, MIT), evaluated on {data.splits['val']} others. Scores are in percent."
    )
    about = Section("About this report", text)
    section = model_section("Detection: Faster R-CNN", config, work_dir, scores, minutes)
    write_report(work_dir / "report.html", "mmbeit3 demo on real images", [about, section])
    print_end(work_dir / "report.html", begin, work_dir, str(data.folder / "images"))


if __name__ == "__main__":
    run(main)
