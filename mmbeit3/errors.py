"""Errors that are the user's to mend."""

__all__ = ["UserError"]


class UserError(Exception):
    """An error of the user's input; the message says in one line what is wrong, where, and what to do.

    The command-line tools print it without a traceback and exit with 2.
    """
