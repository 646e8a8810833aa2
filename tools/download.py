"""Download released files by name into the cache and verify them; see docs/zoo.md."""

import argparse
import shutil
import sys
from pathlib import Path

from mmbeit3.cli import run
from mmbeit3.errors import UserError


def main() -> None:
    """Parse arguments, then list or download."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="files to download, by their names in the list")
    parser.add_argument("--all-for", metavar="TASK", help="download all files of a task and those that its configs need")
    parser.add_argument("--vision-only", action="store_true", help="use timm's copy of the vision tower if a download fails")
    parser.add_argument("--to", type=Path, metavar="FOLDER", help="also copy the files to a folder, e.g. checkpoints")
    parser.add_argument("--list", action="store_true", help="list all files")
    parser.add_argument("--markdown", action="store_true", help="with --list: print the Markdown tables of docs/zoo.md")
    args = parser.parse_args()

    from rich.console import Console

    from mmbeit3 import zoo

    if args.list:
        if args.markdown:
            print(zoo.markdown_tables(), end="")
        else:
            cached = {name for name, model in zoo.read_index().items() if model.sources and zoo.local_path(name).is_file()}
            console = Console() if sys.stdout.isatty() else Console(width=200)
            console.print(zoo.terminal_table(cached))
        return
    names = [*args.names, *(model.name for model in zoo.files_for_task(args.all_for))] if args.all_for else args.names
    if not names:
        raise UserError("nothing to download: give names or --all-for TASK; --list shows all names")
    for name in names:
        zoo.local_path(name)  # raises for unknown names before the first download starts
    for name in dict.fromkeys(names):
        path = zoo.fetch(name, vision_only=args.vision_only)
        print(f"{name}: {_copy(path, args.to / _file_name(name, path)) if args.to else path}")


def _file_name(name: str, path: Path) -> str:
    """Return the file name that configs use; timm's files are all called model.safetensors, so they get the zoo's name."""
    return path.name if path.stem != "model" else f"{name}{path.suffix}"


def _copy(path: Path, target: Path) -> Path:
    from mmbeit3.files import atomic_file

    with path.open("rb") as source, atomic_file(target) as file:
        shutil.copyfileobj(source, file)
    return target


if __name__ == "__main__":
    run(main)
