"""Train configs with several seeds, one after the other, and write a table of their scores. A second call continues."""

import argparse
from pathlib import Path

from mmbeit3.cli import run
from mmbeit3.terminal import quiet_terminal


def main() -> None:
    """Parse arguments, run the trainings that are not finished yet, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("configs", nargs="+", metavar="CONFIG", help="configs to compare, or their names after mmbeit3::")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="seeds, one training each (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("work_dirs/seeds"), help="folder of the trainings (%(default)s)")
    args = parser.parse_args()

    with quiet_terminal():
        from mmbeit3.demos.seeds import Contender, table_of_seeds, train_seeds
        from mmbeit3.errors import UserError
        from mmbeit3.files import write_atomically

    contenders = [Contender(Path(config.rpartition("::")[2]).stem, config) for config in args.configs]
    if len({contender.name for contender in contenders}) < len(contenders):
        raise UserError("two configs have the same name: give each config once")
    table = table_of_seeds(train_seeds(contenders, args.seeds, args.out))
    write_atomically(args.out / "table.md", table.encode())
    print(table, end="")


if __name__ == "__main__":
    run(main)
