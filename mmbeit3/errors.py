"""The error class for a user's mistakes, and helpers that make any text printable in its messages."""

from collections.abc import Iterable

__all__ = ["UserError", "list_first", "one_line", "printable"]


class UserError(Exception):
    """An error that the user can fix. The message is one line: what is wrong, where, and what to do.

    The command-line tools print it without a traceback and exit with code 2. Bytes of file names that are not valid UTF-8
    become ``?``, so that the message can be printed and logged everywhere.
    """

    def __init__(self, message: object = "") -> None:
        super().__init__(str(message).encode("utf-8", "replace").decode())


def one_line(text: object, limit: int = 300) -> str:
    """Put a text on one line: white space becomes single spaces, and :func:`printable` does the rest."""
    return printable(" ".join(str(text).split()), limit)


def printable(text: str, limit: int) -> str:
    """Replace unprintable characters by ``?``, and cut the text after ``limit`` characters."""
    shown = "".join(character if character.isprintable() else "?" for character in text[: limit + 1])
    return shown if len(shown) <= limit else f"{shown[:limit]}…"


def list_first(items: Iterable[object], limit: int = 5, separator: str = ", ") -> str:
    """List the first items and count the others: ``a, b and 3 more``."""
    texts = list(map(str, items))
    return separator.join(texts[:limit]) + (f" and {len(texts) - limit} more" if len(texts) > limit else "")
