"""Compiler information for bug reports."""

import torch

__all__ = ["get_compiler_version", "get_compiling_cuda_version"]


def get_compiler_version() -> str:
    """Return a note that no compiler was used."""
    return "none (operators by mmbeit3 and torchvision)"


def get_compiling_cuda_version() -> str:
    """Return the CUDA version of torch, whose kernels are used."""
    return torch.version.cuda or "not available"
