"""Analyse the errors of a detector or segmentor on its test data, and write an HTML page with tables and pictures."""

import argparse
from pathlib import Path

from mmbeit3.cli import OptionsAction, run
from mmbeit3.terminal import quiet_terminal


def main() -> None:
    """Parse arguments, predict and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="config file")
    parser.add_argument("checkpoint", help="checkpoint that training with this config wrote")
    parser.add_argument("--out", type=Path, help="output folder (work_dirs/errors/CONFIG)")
    parser.add_argument(
        "--images", type=int, default=8, help="number of worst and of best images to show; 0 for none (%(default)s)"
    )
    parser.add_argument("--score", type=float, default=0.5, help="lowest score of detections that are drawn (%(default)s)")
    parser.add_argument("--cfg-options", nargs="+", action=OptionsAction, help="config settings to override, as name=value")
    args = parser.parse_args()

    out = args.out or Path("work_dirs/errors") / Path(args.config).stem
    with quiet_terminal():
        from mmbeit3.evaluation.errors.page import report_errors
        from mmbeit3.runner.config import read_config

        cfg = read_config(args.config, args.cfg_options, str(out / "logs"))
        path = report_errors(cfg, args.checkpoint, out, args.images, args.score)
    print(f"report in {path}")


if __name__ == "__main__":
    run(main)
