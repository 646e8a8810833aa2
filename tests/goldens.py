"""Reference outputs, see README beside them."""

import json

import numpy as np
import torch

from tests.paths import shared

ARCH = {
    "embed_dims": 48,
    "num_layers": 4,
    "num_heads": 3,
    "ffn_dims": 192,
    "image_size": 64,
    "vocab_size": 300,
    "max_text_positions": 64,
}


def golden(name):
    """Arrays of a file as tensors, its weights under 'weights', its sizes under 'meta'."""
    with np.load(shared("goldens", name)) as file:
        tensors = {key: torch.from_numpy(file[key]) for key in file.files if key != "meta"}
        tensors["meta"] = json.loads(bytes(file["meta"]))
    tensors["weights"] = {k.removeprefix("weight/"): v for k, v in tensors.items() if k.startswith("weight/")}
    return tensors
