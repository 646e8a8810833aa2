"""Readers and writers of images. One decoder reads files, folders, URLs, arrays and PIL images. OpenMMLab is not needed."""

from mmbeit3.images.decoding import decode_image, image_size
from mmbeit3.images.errors import ImageError, naming_image
from mmbeit3.images.folders import IMAGE_SUFFIXES, find_images, walk_files
from mmbeit3.images.reading import ImageInput, read_image, read_pixels
from mmbeit3.images.writing import encode_image, write_image

__all__ = [
    "IMAGE_SUFFIXES",
    "ImageError",
    "ImageInput",
    "decode_image",
    "encode_image",
    "find_images",
    "image_size",
    "naming_image",
    "read_image",
    "read_pixels",
    "walk_files",
    "write_image",
]
