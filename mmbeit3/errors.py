"""Errors that are the user's to mend, and texts from outside made fit for their messages."""

__all__ = ["UserError", "one_line", "printable"]


class UserError(Exception):
    """An error of the user's input; the message says in one line what is wrong, where, and what to do.

    The command-line tools print it without a traceback and exit with 2. Bytes of file names that are no letters become ``?``,
    so that the message can be printed, logged and sent everywhere.
    """

    def __init__(self, message: object = "") -> None:
        super().__init__(str(message).encode("utf-8", "replace").decode())


def one_line(text: object, limit: int = 300) -> str:
    """An error's message, or any other text, on one line: white space becomes single blanks, the rest as :func:`printable`."""
    return printable(" ".join(str(text).split()), limit)


def printable(text: str, limit: int) -> str:
    """Replace unprintable characters by ``?``, and cut after ``limit`` characters."""
    shown = "".join(character if character.isprintable() else "?" for character in text[: limit + 1])
    return shown if len(shown) <= limit else f"{shown[:limit]}…"
