"""What is said of images that cannot be read."""

__all__ = ["ImageError"]


class ImageError(ValueError):
    """Bytes that are no image, or a damaged one; the message says what is wrong, to be read after the image's name."""
