"""Build the list of answers that a VQAv2 model chooses from, in the order of the released models' labels."""

import argparse
from pathlib import Path

from mmbeit3.cli import run


def main() -> None:
    """Parse arguments, build the list, and write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("annotations", nargs="+", type=Path, help="official annotation files, train first, then val")
    parser.add_argument("--out", type=Path, required=True, help="file to write, e.g. data/coco/vqa/answer2label.txt")
    parser.add_argument(
        "--min-count",
        type=int,
        default=9,
        help="how often an answer must occur (default: %(default)s, as for the released models)",
    )
    args = parser.parse_args()

    from mmbeit3.datasets.vqa_answers import build_answers, write_answers
    from mmbeit3.files import refuse_overwriting

    for path in args.annotations:
        refuse_overwriting(args.out, path)
    answers = build_answers(args.annotations, args.min_count)
    write_answers(answers, args.out)
    print(f"{len(answers)} answers in '{args.out}' (the released models have 3129)")


if __name__ == "__main__":
    run(main)
