"""Demo of the five tasks on shapes: fine-tune a pretrained tiny BEiT-3 and compare each score with that of guessing."""

import argparse

from mmbeit3.cli import run
from mmbeit3.terminal import quiet_terminal

TASKS = ("vqa", "imagenet", "nlvr2", "retrieval", "captioning")


def main() -> None:
    """Parse arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS), help="tasks to train (all)")
    args = parser.parse_args()

    with quiet_terminal():
        from mmbeit3.demos.tasks import run_demo

    run_demo(args.tasks)


if __name__ == "__main__":
    run(main)
