"""Run a detector or segmentor on an image and write the picture with what it found."""

import argparse
from pathlib import Path

from mmbeit3.apis.cli import run


def main() -> None:
    """Parse arguments, predict and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("image", help="image file")
    parser.add_argument("config", help="config file")
    parser.add_argument("checkpoint", help="a checkpoint that training with this config wrote")
    parser.add_argument("--out", help="picture to write (IMAGE's name in work_dirs/image_demo)")
    parser.add_argument("--device", default="cpu", help="e.g. cuda:0 (%(default)s)")
    parser.add_argument("--score", type=float, default=0.5, help="least score of what is drawn (%(default)s)")
    args = parser.parse_args()

    from mmbeit3.apis.inference import draw_prediction, load_model

    out = Path(args.out) if args.out else Path("work_dirs/image_demo") / f"{Path(args.image).stem}.png"
    model, cfg = load_model(args.config, args.checkpoint, args.device)
    draw_prediction(model, cfg, args.image, out, args.score)
    print(f"picture in {out}")


if __name__ == "__main__":
    run(main)
