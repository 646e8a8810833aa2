"""Evaluate the models of an index and compare them with their published scores. An interrupted run can be continued."""

import argparse

from mmbeit3.cli import add_evaluation_arguments, run


def main() -> None:
    """Parse arguments and evaluate; exit with 1 if a model failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_evaluation_arguments(parser, "work_dirs/evaluation")
    args = parser.parse_args()

    from mmbeit3.evaluation.published.command import run_command
    from mmbeit3.evaluation.published.reports import report_scores

    run_command(args, report_scores)


if __name__ == "__main__":
    run(main)
