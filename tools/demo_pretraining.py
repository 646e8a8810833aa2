"""Run the pretraining demo: vocabulary, image tokenizer and tiny BEiT-3 on shapes, then a detector from its weights."""

import argparse

from mmbeit3.cli import run
from mmbeit3.terminal import quiet_terminal


def main() -> None:
    """Parse arguments and run."""
    argparse.ArgumentParser(description=__doc__).parse_args()

    with quiet_terminal():
        from mmbeit3.demos.pretraining import run_demo

    run_demo()


if __name__ == "__main__":
    run(main)
