"""Commands and Python blocks in README and the docs."""

import re
from dataclasses import dataclass, replace

from tests.paths import ROOT

PAGES = ["README.md", *sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md"))]
PROGRAMS = ("make", "mim", "pip", "python", "python3", "source", "torchrun")
_FENCE = re.compile(r"^(```+)(.*)$")
_SAVED_AS = re.compile(r"`([\w-]+\.py)`")
_INLINE = re.compile(r"`((?:python tools/|make |torchrun |mim )[^`]+)`")


@dataclass(frozen=True)
class Block:
    """One command, or one block of Python.

    Attributes:
        line: line number in the page, from 1.
        kind: ``'command'``, ``'python'``, or ``'inline'`` for commands inside sentences and tables.
        text: the command on one line, or the code.
        file: file name for the code, from the sentence before the block.
        language: language of the block, as after its fence; empty in sentences and tables.
    """

    line: int
    kind: str
    text: str
    file: str | None = None
    language: str = ""


def read_blocks(page: str) -> list[Block]:
    """Return all commands and Python blocks of a page, in order.

    Raises:
        ValueError: if a fence is not closed, or if a command begins with a program that is not in ``PROGRAMS``.
    """
    found: list[Block] = []
    fence, language, start, body, before = "", "", 0, [], ""
    for number, line in enumerate((ROOT / page).read_text(encoding="utf-8").splitlines(), start=1):
        mark = _FENCE.match(line)
        if not fence and mark:
            fence, language, start, body = mark[1], mark[2].strip(), number, []
        elif fence and line == fence:
            found += _blocks(page, start + 1, language, body, before)
            fence, before = "", ""
        elif fence:
            body.append(line)
        else:
            found += [Block(number, "inline", command) for command in _INLINE.findall(line)]
            before = line or before
    if fence:
        raise ValueError(f"{page}:{start}: the block is not closed")
    return found


def _blocks(page: str, line: int, language: str, body: list[str], before: str) -> list[Block]:
    if language == "python":
        saved = _SAVED_AS.findall(before)
        return [Block(line, "python", "\n".join(body) + "\n", saved[-1] if saved else None)]
    if language not in ("", "bash", "sh", "shell", "console"):
        return []
    commands = _commands(line, body)
    known = [program(command.text) in PROGRAMS for command in commands]
    if all(known):
        return [replace(command, language=language) for command in commands]
    if language or any(known):
        raise ValueError(f"{page}:{line}: a command begins with none of {', '.join(PROGRAMS)}")
    return []  # a listing of files, or output


def _commands(line: int, body: list[str]) -> list[Block]:
    """Join lines that end in a backslash, and remove comments."""
    commands, begun = [], ""
    for number, text in enumerate(body, start=line):
        begun += re.sub(r"(^|\s+)# .*", "", text).removeprefix("$ ").strip()
        if begun.endswith("\\"):
            begun = begun.removesuffix("\\")
        elif begun:
            commands.append(Block(number, "command", begun))
            begun = ""
    return commands


def program(command: str) -> str:
    """Return the first word that is not an environment variable."""
    return next((word for word in command.split() if "=" not in word), "")
