"""Download and convert a public data set, check a folder of data and show what it holds, or split it."""

import argparse
import shlex
from pathlib import Path

from mmbeit3.cli import run
from mmbeit3.datasets.public import PUBLIC
from mmbeit3.terminal import quiet_terminal


def main() -> None:
    """Parse arguments, and prepare, list, check or split."""
    parser = argparse.ArgumentParser(description=__doc__)
    actions = parser.add_mutually_exclusive_group(required=True)
    actions.add_argument(
        "name", nargs="?", metavar="NAME", help="download and convert a public data set: bccd, nuclei or camvid"
    )
    actions.add_argument("--list", action="store_true", help="list the public data sets with licence and size")
    actions.add_argument("--check", metavar="FOLDER", help="report counts, classes, sizes and faults, and draw a contact sheet")
    actions.add_argument("--split", metavar="FOLDER", help="write train and val from one COCO file, or from images with labels")
    parser.add_argument(
        "--from", dest="source", metavar="PATH", help="with NAME: a folder or archive to take, not the download"
    )
    parser.add_argument(
        "--as", dest="copy_of", choices=PUBLIC, help="with --check: a copy of this data set (found out by the folder's name)"
    )
    parser.add_argument(
        "--out", metavar="PATH", help="with NAME: the folder (data/NAME); with --check: the sheet (work_dirs/check_FOLDER.png)"
    )
    parser.add_argument("--images", type=int, default=24, metavar="N", help="images on the contact sheet; 0 draws none (24)")
    parser.add_argument("--val-share", type=float, default=0.2, metavar="X", help="share of images for validation (0.2)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the split (0)")
    args = parser.parse_args()
    if args.source is not None and args.name is None:
        parser.error("argument --from: needs NAME, a public data set")
    if args.copy_of is not None and args.check is None:
        parser.error("argument --as: needs --check")
    if args.name is not None:
        prepare(args.name, args.out, args.source)
    elif args.list:
        show_list()
    elif args.check is not None:
        check(args.check, args.out, args.images, args.copy_of)
    else:
        split(args.split, args.val_share, args.seed)


def prepare(name: str, out: str | None, source: str | None) -> None:
    """Prepare a public data set, and print what was written, its terms and the next command."""
    with quiet_terminal():
        from mmbeit3.datasets.inspection.show import show_report
        from mmbeit3.datasets.prepared import next_step, prepare_dataset

    done = prepare_dataset(name, out, source, lambda line: print(line, flush=True))
    if done.report is not None:
        print(show_report(done.report))
        for note in (*done.notes, *done.report.notes):
            print(f"note: {note}")
    counts = ", ".join(f"{count} images in {split}" for split, count in done.splits.items())
    print(f"{done.folder}: complete, {counts}" + ("" if done.report else "; nothing was written"))
    print(f"source: {done.source}")
    print(f"licence: {done.known.license} ({done.known.terms}), see {done.known.homepage}")
    print(f"next: {next_step(done.known, done.folder)}")


def show_list() -> None:
    """Print the public data sets."""
    with quiet_terminal():
        from mmbeit3.datasets.prepared import read_known

    for known in read_known().values():
        size = f"{known.size / 1e6:.0f} MB" if known.size else "unknown size"
        print(f"{known.name}: {known.title}; {known.license} ({known.terms}); {size}")


def check(folder: str, out: str | None, images: int, copy_of: str | None = None) -> None:
    """Print a report of a folder, and draw its contact sheet. Faults end in exit status 2."""
    with quiet_terminal():
        from mmbeit3.datasets.inspection import inspect_folder
        from mmbeit3.datasets.inspection.sheet import draw_sheet
        from mmbeit3.datasets.inspection.show import show_report
        from mmbeit3.errors import UserError

        report = inspect_folder(folder, max(images, 2), copy_of)
    print(show_report(report))
    for note in report.notes:
        print(f"note: {note}")
    for fault in report.faults[:20]:
        print(f"fault: {fault}")
    if len(report.faults) > 20:
        print(f"fault: and {len(report.faults) - 20} more")
    path = out or f"work_dirs/check_{Path(folder).resolve().name}.png"
    with quiet_terminal():
        drawn = draw_sheet(report, path) if images else 0
    if drawn:
        print(f"contact sheet of {drawn} images: {path}")
    if report.faults:
        raise UserError(f"'{folder}' has {len(report.faults)} {'fault' if len(report.faults) == 1 else 'faults'}: see above")
    print(f"next: {report.advice}")


def split(folder: str, share: float, seed: int) -> None:
    """Split a folder, and print what was written."""
    from mmbeit3.datasets.splitting import split_folder

    written = split_folder(folder, share, seed)
    for path, count in written.values():
        print(f"{path}: {count} images")
    print(f"next: python tools/prepare_data.py --check {shlex.quote(str(written['train'][0].parent))}")


if __name__ == "__main__":
    run(main)
