"""Evaluate the models of an index and compare them with their published scores. An interrupted run can be continued."""

import argparse

from mmbeit3.cli import run


def main() -> None:
    """Parse arguments and evaluate; exit with 1 if a model failed."""
    from mmbeit3.evaluation.published.command import add_arguments, run_command
    from mmbeit3.evaluation.published.reports import report_scores

    parser = argparse.ArgumentParser(description=__doc__)
    add_arguments(parser, "work_dirs/evaluation")
    run_command(parser.parse_args(), report_scores)


if __name__ == "__main__":
    run(main)
