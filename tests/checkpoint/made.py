"""Large state dicts that need no memory: each tensor is generated when it is loaded, with the same bits each time."""

import zlib

import torch

from mmbeit3.checkpoint import LAYOUTS, LazyTensor
from mmbeit3.models.beit3 import BEiT3

_BITS = torch.randint(-(2**15), 2**15, (1 << 22,), dtype=torch.int16, generator=torch.Generator().manual_seed(0))


def made(name, like):
    """Return random bits as half precision. They include NaN: conversion must keep every bit pattern."""
    start = zlib.crc32(name.encode()) % 100_003
    bits = _BITS[start:]
    return bits.repeat(like.numel() // len(bits) + 1)[: like.numel()].view(like.shape).view(like.dtype)


def official_state(arch, dtype=torch.float16, head=True):
    """Return a state dict with a released model's names and sizes and a pretraining head, of :func:`made` tensors."""
    with torch.device("meta"):
        likes = LAYOUTS["official"].to_theirs(BEiT3(arch).to(dtype).state_dict())
        if head:
            likes["mlm_head.bias"] = torch.empty(64010, dtype=dtype)
    return {name: LazyTensor(like, lambda name=name, like=like: made(name, like)) for name, like in likes.items()}
