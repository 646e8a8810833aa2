"""Evaluate the models of an index on corrupted images. An interrupted run can be continued."""

import argparse
from itertools import product

from mmbeit3.cli import add_evaluation_arguments, run
from mmbeit3.datasets.corruption_names import CORRUPTIONS, SEVERITIES


def main() -> None:
    """Parse arguments and evaluate; exit with 1 if an evaluation failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_evaluation_arguments(parser, "work_dirs/robustness")
    parser.add_argument(
        "--corruptions", nargs="+", choices=CORRUPTIONS, default=CORRUPTIONS, help="corruptions (default: all fifteen)"
    )
    parser.add_argument(
        "--severities", nargs="+", type=int, choices=SEVERITIES, default=SEVERITIES, help="severities (default: 1 to 5)"
    )
    args = parser.parse_args()

    from mmbeit3.evaluation.published.command import run_command
    from mmbeit3.evaluation.published.reports import report_robustness

    run_command(args, report_robustness, product(args.corruptions, args.severities), "evaluations")


if __name__ == "__main__":
    run(main)
