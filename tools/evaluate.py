"""Evaluate the models of an index, and compare with their published scores. Interrupted, it goes on where it stopped."""

import argparse
import sys

from mmbeit3.cli import run


def main() -> None:
    """Parse arguments and evaluate; exit with 1 if a model failed."""
    from rich.console import Console

    from mmbeit3.evaluation.published.command import add_arguments, entries_of, jobs_of, run_command
    from mmbeit3.evaluation.published.plots import draw_records
    from mmbeit3.evaluation.published.table import markdown, print_records, record_lines
    from mmbeit3.files import write_atomically

    parser = argparse.ArgumentParser(description=__doc__)
    add_arguments(parser, "work_dirs/evaluation")
    args = parser.parse_args()
    entries = entries_of(args)
    if args.list:
        print("\n".join(entry.name for entry in entries))
        return
    console = Console()
    records = run_command(args, [jobs_of(args, entry) for entry in entries], console)
    print_records(records, console)
    write_atomically(args.out / "table.md", markdown(record_lines(records)).encode())
    draw_records(records, args.out / "plot.png")
    print(f"results.jsonl, table.md and plot.png in {args.out}")
    if failed := sum(record.error is not None for record in records):
        print(f"{failed} of {len(records)} models failed", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    run(main)
