"""Draw held-out images, their ground truth and the predictions of a trained detector or segmentor on one sheet."""

import argparse
from pathlib import Path

from mmbeit3.cli import run
from mmbeit3.terminal import quiet_terminal


def main() -> None:
    """Parse arguments, predict and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="work dir of a training, or its config")
    parser.add_argument("checkpoint", nargs="?", help="checkpoint of the model; needed for a config")
    parser.add_argument("--images", type=int, nargs="+", default=4, metavar="N", help="indices of test images (the first four)")
    parser.add_argument("--out", type=Path, default=Path("contact_sheet.jpg"), metavar="FILE", help="JPEG or PNG (%(default)s)")
    args = parser.parse_args()

    with quiet_terminal():
        from mmbeit3.demos.pictures import draw_models
        from mmbeit3.images import write_image
        from mmbeit3.inference import load_model

        predictor = load_model(args.model, args.checkpoint)
        name = "regions" if predictor.cfg.default_scope == "mmseg" else "objects"
        write_image(args.out, draw_models({name: predictor}, args.images)[..., ::-1])
    print(f"contact sheet: {args.out}")


if __name__ == "__main__":
    run(main)
