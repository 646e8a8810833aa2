"""Train a SentencePiece vocabulary for pretraining on your own text files."""

import argparse
from collections.abc import Iterator
from pathlib import Path

from mmbeit3.cli import run


def main() -> None:
    """Parse arguments and train the vocabulary."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "texts", nargs="+", help="plain text files with one text per line, or JSON-lines files with objects that have 'text'"
    )
    parser.add_argument("--out", type=Path, required=True, help="SentencePiece model to write, e.g. data/mine.spm")
    parser.add_argument(
        "--vocab-size", type=int, default=64000, help="number of pieces (%(default)s, as in the released models)"
    )
    parser.add_argument(
        "--model-type",
        choices=["unigram", "bpe"],
        default="unigram",
        help="algorithm (%(default)s, as in the released model); bpe keeps fewer words whole",
    )
    args = parser.parse_args()

    from mmbeit3.files import refuse_overwriting
    from mmbeit3.pretrain.data import TextFiles
    from mmbeit3.pretrain.data.source import RecordSource
    from mmbeit3.text.tokenizer import train_text_tokenizer

    for path in args.texts:
        refuse_overwriting(args.out, path)

    def texts() -> Iterator[str]:
        for record in RecordSource(TextFiles(args.texts), shuffle=False):
            yield record["text"]

    print(f"vocabulary in {train_text_tokenizer(texts(), args.out, args.vocab_size, model_type=args.model_type)}")


if __name__ == "__main__":
    run(main)
