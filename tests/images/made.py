"""Generator of image files of all formats, complete and damaged, by number."""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

DEEP = ("I;16", "I", "F")
FORMATS = {
    "JPEG": ("L", "RGB", "CMYK", "YCbCr"),
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "WEBP": ("L", "RGB", "RGBA"),
    "BMP": ("1", "L", "P", "RGB", "RGBA"),
    "GIF": ("1", "L", "P"),
    "TIFF": ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "I;16", "I", "F"),
    "PPM": ("1", "L", "RGB", "I"),
    "JPEG2000": ("L", "LA", "RGB", "RGBA", "I;16"),
}
SUFFIXES = dict(zip(FORMATS, ("jpg", "png", "webp", "bmp", "gif", "tif", "pnm", "jp2"), strict=True))
LOSSY = ("JPEG",)
DAMAGES = ("cut", "flipped", "empty", "page", "text")
TURNS = {
    **{2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM},
    **{5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE},
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Made:
    """Image file with its original pixels, its orientation and its damage."""

    name: str
    data: bytes
    image: Image.Image
    kind: str
    orientation: int
    damage: str | None

    @property
    def wanted(self):
        """Return the upright colours of a complete lossless file: uint8 (H, W, 3), BGR."""
        turned = self.image.transpose(TURNS[self.orientation]) if self.orientation in TURNS else self.image
        if self.image.mode not in DEEP:
            return np.asarray(turned.convert("RGB"))[..., ::-1]
        numbers = np.asarray(turned)
        if self.image.mode == "F":
            grey = np.round(numbers * 255 if numbers.max() <= 1 else numbers)
        else:
            # Integers of 32 bits do not say their range, but in PPM they are 16 bits.
            grey = numbers if self.image.mode == "I" and self.kind != "PPM" and numbers.max() < 256 else numbers // 256
        return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)


def make(number):
    """Make the image file of a number."""
    random = np.random.default_rng(number)
    kind = tuple(FORMATS)[number % len(FORMATS)]
    mode = FORMATS[kind][number // len(FORMATS) % len(FORMATS[kind])]
    size = tuple(int(side) for side in random.integers(1, 40 if number % 3 else 4, 2))
    image = draw(mode, size, random)
    orientation = int(random.integers(1, 9)) if kind in ("JPEG", "PNG", "WEBP", "TIFF") and number % 2 else 1
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    if kind == "JPEG":
        options = {"progressive": bool(random.integers(2)), "subsampling": int(random.integers(3))}
    if orientation != 1:
        options["exif"] = Image.Exif()
        options["exif"][0x0112] = orientation
    file = io.BytesIO()
    image.save(file, kind, **options)
    # Of each mode the first is whole.
    round_ = number // len(FORMATS) // len(FORMATS[kind])
    damage = DAMAGES[random.integers(len(DAMAGES))] if round_ % 5 in (1, 3) else None
    name = f"{number:03d}.{SUFFIXES[kind]}"
    return Made(name, damaged(file.getvalue(), damage, random), image, kind, orientation, damage)


def draw(mode, size, random):
    """Make an image of noise in a PIL mode."""
    shape = size[::-1]
    if mode == "I;16":
        return Image.fromarray(random.integers(0, 1 << 16, shape).astype(np.uint16))
    if mode == "I":
        return Image.fromarray(random.integers(0, random.choice([200, 1 << 16]), shape).astype(np.int32))
    if mode == "F":
        return Image.fromarray((random.random(shape) * random.choice([1, 255])).astype(np.float32))
    colours = Image.fromarray(random.integers(0, 256, (*shape, 4), np.uint8))
    if mode in ("RGBA", "LA"):
        return colours.convert(mode)
    opaque = colours.convert("RGB")
    if mode not in ("P", "PA"):
        return opaque.convert(mode)
    return opaque.convert("P", palette=Image.Palette.ADAPTIVE).convert(mode)


def damaged(data, damage, random):
    """Return a file's bytes after a damage."""
    if damage == "cut":
        return data[: int(random.integers(1, len(data)))]
    if damage == "flipped":
        broken = bytearray(data)
        for place in random.integers(0, len(data), 1 + len(data) // 200):
            broken[place] ^= 1 << int(random.integers(8))
        return bytes(broken)
    return {"empty": b"", "page": b"<!DOCTYPE html><title>No</title>", "text": b"no image\n" * 9}.get(damage, data)
