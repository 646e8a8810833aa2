"""Train the shapes detector from random and from pretrained weights with several seeds, and compare the scores."""

import argparse
import json
import statistics
from pathlib import Path

from mmbeit3.cli import run
from mmbeit3.errors import UserError
from mmbeit3.files import write_atomically
from mmbeit3.markdown import markdown_table

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

    from mmbeit3.demos.training import last_checkpoint

    folder = Path("work_dirs/pretrain-demo/pretraining")
    if args.pretrained is None and not (folder / "last_checkpoint").exists():
        raise UserError(f"no pretraining checkpoint in {folder}: run tools/demo_pretraining.py first, or give --pretrained")
    pretrained = args.pretrained or last_checkpoint(folder)

    results: dict[str, list[dict[str, float]]] = {}
    for start in ("random weights", "pretrained"):
        for seed in args.seeds:
            name = f"{start.split()[0]}-{args.epochs}-{seed}"
            results.setdefault(start, []).append(scores_of(args.out / name, args.config, seed, args.epochs, start, pretrained))
    labels = list(results["pretrained"][0])
    rows = [["start", *labels]]
    for start, runs in results.items():
        cells = []
        for label in labels:
            values = [scores[label] for scores in runs]
            spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
            cells.append(f"{statistics.mean(values):.1f}{spread} ({', '.join(f'{value:.1f}' for value in values)})")
        rows.append([start, *cells])
    table = markdown_table(rows)
    write_atomically(args.out / "table.md", table.encode())
    print(table, end="")


def scores_of(folder: Path, config: str, seed: int, epochs: int, start: str, pretrained: Path) -> dict[str, float]:
    """Return the scores of one training; read them from the folder if an earlier call finished it."""
    from mmbeit3.demos.training import detector_options, read_scores, train_config

    done = folder / "percent.json"
    if done.exists():
        return dict(json.loads(done.read_text()))
    options = {"randomness.seed": seed, **detector_options(epochs, pretrained if start == "pretrained" else None)}
    scores = read_scores(train_config(config, folder, f"{start}, seed {seed}", options))
    write_atomically(done, json.dumps(scores).encode())
    return scores


if __name__ == "__main__":
    run(main)
