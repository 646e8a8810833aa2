"""Conversion of pixels with more than 8 bits to 8 bits."""

from __future__ import annotations

import numpy as np

from mmbeit3.images.errors import ImageError

__all__ = ["to_8_bits"]


def to_8_bits(pixels: np.ndarray) -> np.ndarray:
    """Convert pixels to uint8.

    16-bit integers keep their upper 8 bits. The range of 32-bit integers and floating point is unknown, so it is guessed from
    the maximum: floating point up to 1 is scaled to 0 to 255; values up to 255 are rounded; larger values count as 16-bit
    integers.

    Args:
        pixels: uint8, uint16, int32 or floating point, of any shape.

    Returns:
        uint8, of the same shape.

    Raises:
        ImageError: if the type is another one, or a value is NaN, below 0, or 65536 or more.
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
        raise ImageError("has pixel values outside of 0 to 65535, or NaN")
    largest = pixels.max()
    if kind == "f" and largest <= 1:
        return (pixels * 255).round().astype(np.uint8)
    if largest <= 255:
        return pixels.round().astype(np.uint8)
    return (pixels.astype(np.int64) >> 8).astype(np.uint8)
