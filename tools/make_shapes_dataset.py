"""Make the shapes dataset: COCO annotations (instances, panoptic) and ADE20K label images of the same images."""

import argparse

from mmbeit3.cli import run

STYLES = ("busy", "plain")


def main() -> None:
    """Parse arguments and render."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", help="folder to create, e.g. data/shapes")
    parser.add_argument("--train", type=int, default=900, help="number of training images (default: %(default)s)")
    parser.add_argument("--val", type=int, default=100, help="number of validation images (default: %(default)s)")
    parser.add_argument("--size", type=int, default=128, help="side of the images in pixels (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of all random choices (default: %(default)s)")
    parser.add_argument(
        "--style", choices=STYLES, default="busy", help="difficulty; plain for short training (default: %(default)s)"
    )
    parser.add_argument("--force", action="store_true", help="replace a shapes dataset that was made with other arguments")
    args = parser.parse_args()

    from mmbeit3.datasets.shapes import make_shapes_dataset

    folder = make_shapes_dataset(args.out, args.train, args.val, args.size, args.seed, args.style, args.force)
    print(f"shapes dataset in {folder}")


if __name__ == "__main__":
    run(main)
