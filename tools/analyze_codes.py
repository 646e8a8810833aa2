"""Analyse an image tokenizer's codes on held-out images: their use, examples of their patches, information about labels."""

import argparse
from pathlib import Path

from mmbeit3.cli import run


def main() -> None:
    """Parse arguments, encode the images and write the files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tokenizer", type=Path, help="checkpoint of an image tokenizer")
    parser.add_argument("--heads", type=int, help="number of the encoder's attention heads (default: heads are 64 wide)")
    parser.add_argument("images", type=Path, help="folder of images, or a list of them (.txt, or COCO's .json)")
    parser.add_argument("--folder", type=Path, help="folder that the names of a list are relative to (default: the list's)")
    parser.add_argument("--labels", type=Path, help="folder of label images, PNG files with the images' names")
    parser.add_argument("--out", type=Path, default=Path("work_dirs/codes"), help="output folder (%(default)s)")
    parser.add_argument("--tiles", type=int, default=2, help="parts of an image along each side (%(default)s)")
    parser.add_argument("--codes", type=int, default=16, help="number of codes in the picture (%(default)s)")
    parser.add_argument("--patches", type=int, default=12, help="number of patches of each code (%(default)s)")
    args = parser.parse_args()
    for name in ("tiles", "codes", "patches"):
        if getattr(args, name) < 1:
            parser.error(f"--{name} must be at least 1, got {getattr(args, name)}")

    from mmbeit3.pretrain.code_analysis import analyse_codes, format_summary
    from mmbeit3.pretrain.image_tokenizers import load_vqkd

    images = args.images if args.folder is None else {"list": args.images, "folder": args.folder}
    # The number of heads cannot be inferred from a file.
    sizes = {} if args.heads is None else {"heads": args.heads}
    tokenizer = load_vqkd(args.tokenizer, teacher_dims=None, frozen=True, **sizes)
    summary = analyse_codes(tokenizer, images, args.out, args.labels, args.tiles, args.codes, args.patches)
    print(format_summary(summary), end="")
    print(f"picture in {args.out / 'codes.png'}")


if __name__ == "__main__":
    run(main)
