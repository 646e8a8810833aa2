"""Run a tool of an installed package: ``python -m mmbeit3 train CONFIG`` runs ``tools/train.py CONFIG``."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

from mmbeit3 import __version__
from mmbeit3.cli import run
from mmbeit3.errors import UserError
from mmbeit3.resources import CONFIG_PREFIX, path_of


def main() -> None:
    """Run the tool named by the first argument. Without arguments, list the tools and configs."""
    tools = {path.relative_to(path_of("tools")).with_suffix("").as_posix(): path for path in path_of("tools").rglob("*.py")}
    if len(sys.argv) == 1 or sys.argv[1] in ("-h", "--help"):
        print(_overview(sorted(tools)))
        return
    name = sys.argv[1]
    if name not in tools:
        raise UserError(f"there is no tool '{name}': choose one of {', '.join(sorted(tools))}")
    sys.argv = [str(tools[name]), *sys.argv[2:]]
    runpy.run_path(str(tools[name]), run_name="__main__")


def _overview(tools: list[str]) -> str:
    """List the tools and configs."""
    folder = path_of("configs")
    configs = sorted(path.relative_to(folder) for path in folder.rglob("*.py") if "_base_" not in path.parts)
    return "\n".join(
        [
            f"mmbeit3 {__version__} in {Path(__file__).parent}",
            "",
            "python -m mmbeit3 TOOL [ARGUMENTS], where TOOL is one of",
            *(f"  {tool}" for tool in tools),
            "",
            f"configs, in {folder}",
            *(f"  {CONFIG_PREFIX}{config.as_posix()}" for config in configs),
        ]
    )


if __name__ == "__main__":
    run(main)
