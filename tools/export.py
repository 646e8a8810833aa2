"""Write a config's backbone or task as a file that runs without this package, and check that it computes the same."""

import argparse
import time
from pathlib import Path

from mmbeit3.cli import OptionsAction, run


def main() -> None:
    """Parse arguments and export."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="config of a detector, a segmentor, or a task")
    parser.add_argument("checkpoint", nargs="?", help="its weights, or a backbone's (what the config starts from)")
    parser.add_argument("--to", choices=["onnx", "torch"], required=True, help="ONNX, or a program of torch.export (.pt2)")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="file to write")
    parser.add_argument(
        "--size",
        type=int,
        nargs=2,
        metavar=("H", "W"),
        help="image to trace and try in pixels; a task's file is for this size alone (224 224, and a task's own)",
    )
    parser.add_argument("--opset", type=int, metavar="N", help="version of ONNX's operators (20)")
    parser.add_argument("--cfg-options", nargs="+", action=OptionsAction, help="settings to change, as name=value")
    args = parser.parse_args()

    from mmbeit3.export import build_backbone, build_task, export_backbone, export_task
    from mmbeit3.runner.config import read_config

    cfg = read_config(args.config, args.cfg_options)
    size = None if args.size is None else tuple(args.size)
    start = time.perf_counter()
    if cfg.get("model", {}).get("backbone") is None:
        model, source = build_task(cfg, args.checkpoint)
        print(source)
        written = export_task(model, args.out, args.to, size, args.opset)
    else:
        backbone, source = build_backbone(cfg, args.checkpoint)
        print(source)
        written = [export_backbone(backbone, args.out, args.to, size or (224, 224), args.opset)]
    for exported in written:
        for difference in exported.differences:
            print(difference)
        print(f"{exported.bytes / 1e6:.1f} MB in {exported.path} after {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    run(main)
