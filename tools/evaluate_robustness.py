"""Evaluate the models of an index on corrupted images. Interrupted, it goes on where it stopped."""

import argparse
import sys

from mmbeit3.cli import run


def main() -> None:
    """Parse arguments and evaluate; exit with 1 if an evaluation failed."""
    from rich.console import Console

    from mmbeit3.datasets.corruption import CORRUPTIONS, SEVERITIES
    from mmbeit3.evaluation.published.command import add_arguments, entries_of, jobs_of, run_command
    from mmbeit3.evaluation.published.corruption import by_corruption_lines, summarize, summary_lines
    from mmbeit3.evaluation.published.plots import draw_corruptions
    from mmbeit3.evaluation.published.table import markdown, print_lines
    from mmbeit3.files import write_atomically

    parser = argparse.ArgumentParser(description=__doc__)
    add_arguments(parser, "work_dirs/robustness")
    parser.add_argument("--corruptions", nargs="+", choices=CORRUPTIONS, default=CORRUPTIONS, help="which (all fifteen)")
    parser.add_argument("--severities", nargs="+", type=int, choices=SEVERITIES, default=SEVERITIES, help="which (1 to 5)")
    args = parser.parse_args()
    entries = entries_of(args)
    if args.list:
        print("\n".join(entry.name for entry in entries))
        return
    console = Console()
    jobs = [jobs_of(args, entry) for entry in entries]
    jobs += [
        jobs_of(args, entry, kind, severity) for entry in entries for kind in args.corruptions for severity in args.severities
    ]
    records = run_command(args, jobs, console)
    found = summarize(records)
    summary, details = summary_lines(found), by_corruption_lines(found)
    print_lines(summary, console)
    print_lines(details, console)
    write_atomically(args.out / "table.md", f"{markdown(summary)}\n{markdown(details)}".encode())
    curves = {
        kind: {one.name: sorted(one.scores[kind].items()) for one in found if kind in one.scores} for kind in args.corruptions
    }
    draw_corruptions(curves, {one.name: one.clean for one in found}, args.out / "plot.png")
    print(f"results.jsonl, table.md and plot.png in {args.out}")
    if failed := sum(record.error is not None for record in records):
        print(f"{failed} of {len(records)} evaluations failed", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    run(main)
