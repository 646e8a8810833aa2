"""Write the backbone of a config as a file that runs without this package, and check that it computes the same."""

import argparse
import time
from pathlib import Path

from mmbeit3.apis.cli import run


def main() -> None:
    """Parse arguments and export."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="config of a detector or segmentor")
    parser.add_argument("checkpoint", nargs="?", help="its weights, or the backbone's (what the config starts from)")
    parser.add_argument("--to", choices=["onnx", "torch"], required=True, help="ONNX, or a program of torch.export (.pt2)")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="file to write")
    parser.add_argument(
        "--size",
        type=int,
        nargs=2,
        default=[224, 224],
        metavar=("H", "W"),
        help="image to trace and try in pixels (%(default)s)",
    )
    parser.add_argument("--opset", type=int, metavar="N", help="version of ONNX's operators (20)")
    args = parser.parse_args()

    from mmbeit3.apis.runner import read_config
    from mmbeit3.export import build_backbone, export_backbone

    backbone, source = build_backbone(read_config(args.config), args.checkpoint)
    print(source)
    start = time.perf_counter()
    exported = export_backbone(backbone, args.out, args.to, tuple(args.size), args.opset)
    for difference in exported.differences:
        print(difference)
    print(f"{exported.bytes / 1e6:.1f} MB in {exported.path} after {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    run(main)
