"""Pixels of more than 8 bits, made 8 bits by one rule, wherever they come from."""

from __future__ import annotations

import numpy as np

from mmbeit3.images.errors import ImageError

__all__ = ["to_8_bits"]


def to_8_bits(pixels: np.ndarray) -> np.ndarray:
    """Make pixels uint8.

    Of 16-bit integers the upper 8 bits are kept. Wider integers and floating point do not say their range: with a maximum of 1
    floating point becomes 0 to 255; with one up to 255 the numbers stay, rounded; else they count as 16-bit integers.

    Args:
        pixels: uint8, uint16, int32 or floating point, of any shape.

    Returns:
        uint8, of the same shape.

    Raises:
        ImageError: if they are of another type, or there are numbers below 0 or from 65536 up, or NaN.
    """
    kind = pixels.dtype.kind
    if pixels.dtype == np.uint8:
        return pixels
    if kind == "u" and pixels.dtype.itemsize == 2:
        return (pixels >> 8).astype(np.uint8)
    if kind != "f" and not (kind == "i" and pixels.dtype.itemsize == 4):
        raise ImageError(f"has pixels of type {pixels.dtype}, not uint8, uint16, int32 or floating point")
    if pixels.dtype.itemsize == 2:
        pixels = pixels.astype(np.float32)
    if not np.isfinite(pixels).all() or pixels.min() < 0 or pixels.max() >= 1 << 16:
        raise ImageError("has pixels that are no numbers from 0 to 65535")
    most = pixels.max()
    if kind == "f" and most <= 1:
        return (pixels * 255).round().astype(np.uint8)
    if most <= 255:
        return pixels.round().astype(np.uint8)
    return (pixels.astype(np.int64) >> 8).astype(np.uint8)
