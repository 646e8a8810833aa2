"""Errors of images that cannot be read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mmbeit3.errors import UserError

__all__ = ["ImageError", "naming_image"]


class ImageError(ValueError):
    """Error of bytes that are not an image, or a damaged one. The message follows the image's name in a sentence."""


@contextmanager
def naming_image(what: str) -> Iterator[None]:
    """Convert errors of reading an image file to a UserError that names the file.

    Args:
        what: kind and name of the file, such as ``label image 'a.png'``.

    Raises:
        UserError: if the block raises an ImageError or OSError.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise UserError(f"{what} does not exist") from error
    except ImageError as error:
        raise UserError(f"{what} {error}") from error
    except OSError as error:
        raise UserError(f"{what} cannot be read ({error.strerror or error})") from error
