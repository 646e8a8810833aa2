"""Download released files by name, checked, into the cache; see docs/zoo.md."""

import argparse
import shutil
import sys
from pathlib import Path

from rich.console import Console

from mmbeit3 import zoo
from mmbeit3.cli import run
from mmbeit3.errors import UserError
from mmbeit3.files import atomic_file


def main() -> None:
    """Parse arguments, then list or download."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="what to download, by its name in the list")
    parser.add_argument("--all-for", metavar="TASK", help="everything for a task: its files and what its configs read")
    parser.add_argument("--vision-only", action="store_true", help="timm's copy of the vision tower will do where need be")
    parser.add_argument("--to", type=Path, metavar="FOLDER", help="copy the files there as well, e.g. checkpoints")
    parser.add_argument("--list", action="store_true", help="show all names")
    parser.add_argument("--markdown", action="store_true", help="with --list: the tables of docs/zoo.md")
    args = parser.parse_args()

    if args.list:
        if args.markdown:
            print(zoo.markdown(), end="")
        else:
            cached = {name for name, entry in zoo.read_index().items() if entry.sources and zoo.where(name).is_file()}
            console = Console() if sys.stdout.isatty() else Console(width=200)
            console.print(zoo.plain(cached))
        return
    names = [*args.names, *(entry.name for entry in zoo.for_task(args.all_for))] if args.all_for else args.names
    if not names:
        raise UserError("nothing to download: give names, --all-for TASK, or --list to see what there is")
    for name in names:
        zoo.where(name)  # a slip in the last name is to be told before the first download
    for name in dict.fromkeys(names):
        path = zoo.fetch(name, vision_only=args.vision_only)
        print(f"{name}: {_copy(path, args.to / _plain_name(name, path)) if args.to else path}")


def _plain_name(name: str, path: Path) -> str:
    """The name that configs know a file by; timm's are all called model.safetensors."""
    return path.name if path.stem != "model" else f"{name}{path.suffix}"


def _copy(path: Path, target: Path) -> Path:
    with path.open("rb") as source, atomic_file(target) as file:
        shutil.copyfileobj(source, file)
    return target


if __name__ == "__main__":
    run(main)
