"""Train the shapes detector from random and from pretrained weights with several seeds, and compare the scores."""

import argparse
from pathlib import Path

from mmbeit3.cli import run
from mmbeit3.errors import UserError
from mmbeit3.files import write_atomically

CONFIG = "mmbeit3::shapes/mask-rcnn_beit3-adapter-t_shapes.py"


def main() -> None:
    """Parse arguments, run the trainings that are not finished yet, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pretrained", type=Path, help="pretraining checkpoint (default: that of tools/demo_pretraining.py)")
    parser.add_argument("--config", default=CONFIG, help="config of the detector (%(default)s)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="seeds, one training each (%(default)s)")
    parser.add_argument("--epochs", type=int, default=1, help="number of epochs of each training (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("work_dirs/compare-pretraining"), help="output folder (%(default)s)")
    args = parser.parse_args()

    from mmbeit3.demos.seeds import Contender, table_of_seeds, train_seeds
    from mmbeit3.demos.training import detector_options, last_checkpoint

    folder = Path("work_dirs/pretrain-demo/pretraining")
    if args.pretrained is None and not (folder / "last_checkpoint").exists():
        raise UserError(f"no pretraining checkpoint in {folder}: run tools/demo_pretraining.py first, or give --pretrained")
    pretrained = args.pretrained or last_checkpoint(folder)
    starts = {"random": None, "pretrained": pretrained}
    contenders = [
        Contender(f"{name}-{args.epochs}", args.config, detector_options(args.epochs, weights))
        for name, weights in starts.items()
    ]
    table = table_of_seeds(train_seeds(contenders, args.seeds, args.out), "start-epochs")
    write_atomically(args.out / "table.md", table.encode())
    print(table, end="")


if __name__ == "__main__":
    run(main)
