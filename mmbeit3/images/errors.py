"""What is said of images that cannot be read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mmbeit3.errors import UserError

__all__ = ["ImageError", "naming_image"]


class ImageError(ValueError):
    """Bytes that are no image, or a damaged one; the message says what is wrong, to be read after the image's name."""


@contextmanager
def naming_image(what: str) -> Iterator[None]:
    """Have errors of reading an image file say which it is.

    Args:
        what: what it is for, and its name: ``label image 'a.png'``.

    Raises:
        UserError: for an ImageError or OSError inside.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise UserError(f"{what} does not exist") from error
    except ImageError as error:
        raise UserError(f"{what} {error}") from error
    except OSError as error:
        raise UserError(f"{what} cannot be read ({error.strerror or error})") from error
