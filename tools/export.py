"""Export the backbone or the task model of a config to a file that runs without this package, and check its outputs."""

import argparse
import time
from pathlib import Path

from mmbeit3.cli import OptionsAction, run


def main() -> None:
    """Parse arguments and export."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="config of a detector, a segmentor, or a task")
    parser.add_argument("checkpoint", nargs="?", help="weights of the model or backbone (those of the config's init_cfg)")
    parser.add_argument("--to", choices=["onnx", "torch"], required=True, help="file format: ONNX, or torch.export (.pt2)")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="file to write")
    parser.add_argument(
        "--size",
        type=int,
        nargs=2,
        metavar=("H", "W"),
        help="image size in pixels to trace and check with; fixed in the file of a task (224 224, or that of the task)",
    )
    parser.add_argument("--opset", type=int, metavar="N", help="version of the ONNX operators (20)")
    parser.add_argument("--cfg-options", nargs="+", action=OptionsAction, help="config settings to change, as name=value")
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
