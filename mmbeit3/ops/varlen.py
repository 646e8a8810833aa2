"""Attention over many sequences of different lengths in one call, on GPUs in half precision (``varlen_attn``, PyTorch 2.10)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from mmbeit3.ops.exporting import portable

try:
    from torch.nn.attention.varlen import varlen_attn
except ImportError:  # before PyTorch 2.10
    varlen_attn = None  # type: ignore[assignment]

__all__ = ["Sequences", "attend_sequences", "supports_varlen"]

_DTYPES = (torch.float16, torch.bfloat16)
_MAX_DIMS = 192
"""Largest head dimension whose gradient flash attention supports on all GPUs since compute capability 8.0."""


@dataclass(frozen=True)
class Sequences:
    """Sequences of queries and keys in the tokens of a batch, B * N rows in all.

    The queries of all sequences, one after the other, are the rows in their order. Keys may be any rows, also of several
    sequences.

    Attributes:
        query_starts, key_starts: first query and first key of each sequence and the totals, (S + 1,), int32.
        max_queries, max_keys: lengths of the longest sequence.
        key_rows: row of each key, (K,), int32; None if the keys, too, are the rows in their order.
        row_keys: the inverse of ``key_rows``: for row 0, then row 1 and so on, all its keys, (K,), int32.
        row_starts: first element of ``row_keys`` of each row, (B * N,), int32.
    """

    query_starts: Tensor
    key_starts: Tensor
    max_queries: int
    max_keys: int
    key_rows: Tensor | None = None
    row_keys: Tensor | None = None
    row_starts: Tensor | None = None

    @classmethod
    def build(
        cls,
        lengths: Sequence[tuple[int, int, int]],
        key_rows: Tensor | None,
        batch: int,
        tokens: int,
        device: torch.device,
    ) -> Sequences:
        """Build the same sequences for each sample of a batch, without waiting for the device.

        Args:
            lengths: (number of sequences, queries of each, keys of each), in the order of the sequences.
            key_rows: row of each key within the sample, int32; None if the keys are the rows in their order.
            batch: number of samples.
            tokens: number of rows of a sample.
            device: device of the tensors.
        """

        def starts(column: int) -> Tensor:
            parts = [torch.full((row[0],), row[column], dtype=torch.int32, device=device) for row in lengths]
            return F.pad(torch.cat(parts).repeat(batch).cumsum(0, dtype=torch.int32), (1, 0))

        bounds = starts(1), starts(2), max(row[1] for row in lengths), max(row[2] for row in lengths)
        if key_rows is None:
            return cls(*bounds)
        offsets = torch.arange(0, batch * tokens, tokens, dtype=torch.int32, device=device)
        key_rows = (offsets[:, None] + key_rows).flatten()  # (K,)
        # A stable sort, so that the order of summation does not change between runs.
        ordered, row_keys = key_rows.sort(stable=True)
        rows = torch.arange(batch * tokens, dtype=torch.int32, device=device)
        row_starts = torch.searchsorted(ordered, rows, out_int32=True)
        return cls(*bounds, key_rows, row_keys.int(), row_starts)


def supports_varlen(q: Tensor) -> bool:
    """Return True if :func:`attend_sequences` can run on queries (B, heads, N, d) and is not being traced or compiled.

    Subclasses of tensors, such as fake ones, are not supported: cached indices cannot be mixed with them.
    """
    return (
        q.is_cuda
        and q.dtype in _DTYPES
        and varlen_attn is not None
        and not torch.compiler.is_compiling()
        and not portable()
        and type(q) is Tensor
        and q.shape[-1] % 8 == 0
        and q.shape[-1] <= _MAX_DIMS
        and _has_flash(q.device)
    )


@cache
def _has_flash(device: torch.device) -> bool:
    return torch.version.cuda is not None and torch.cuda.get_device_capability(device) >= (8, 0)


def attend_sequences(q: Tensor, k: Tensor, v: Tensor, sequences: Sequences) -> Tensor:
    """Compute softmax attention within sequences, with scores divided by the square root of the head dimension.

    The gradients of k and v are sums over the sequences in float32, in a fixed order.

    Args:
        q, k, v: (B, heads, N, d), laid out as (B, N, ..., heads, d) in memory; d is a multiple of 8.
        sequences: the sequences.

    Returns:
        (B, heads, N, d), laid out as (B, N, heads, d) in memory.
    """
    if sequences.key_rows is None:
        keys, values = (t.transpose(1, 2).flatten(0, 1) for t in (k, v))  # (B * N, heads, d)
    else:
        keys, values = _GatherKeysValues.apply(k, v, sequences)  # (K, heads, d)
    attended = varlen_attn(
        q.transpose(1, 2).flatten(0, 1),  # (B * N, heads, d)
        keys,
        values,
        sequences.query_starts,
        sequences.key_starts,
        sequences.max_queries,
        sequences.max_keys,
    )
    return attended.unflatten(0, (q.shape[0], q.shape[2])).transpose(1, 2)  # type: ignore[union-attr]


class _GatherKeysValues(torch.autograd.Function):
    """Copy the rows of k and v (B, heads, N, d) to the places of the sequences' keys, (K, heads, d) each."""

    @staticmethod
    def forward(ctx: Any, k: Tensor, v: Tensor, sequences: Sequences) -> tuple[Tensor, Tensor]:
        ctx.sequences = sequences
        ctx.sizes = k.shape[0], k.shape[2], k.shape[1], k.shape[3]  # (B, N, heads, d)
        assert sequences.key_rows is not None
        joint = _joint_rows(k, v)
        if joint is None:
            keys, values = (t.transpose(1, 2).flatten(0, 1).index_select(0, sequences.key_rows) for t in (k, v))
            return keys, values
        # Copied as integers of 8 bytes, because the kernel copies one element per thread.
        rows = joint.view(torch.int64).index_select(0, sequences.key_rows).view(k.dtype)  # (K, 2 * heads * d)
        keys, values = rows.unflatten(1, (2, k.shape[1], k.shape[3])).unbind(1)
        return keys, values

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        sequences, (B, N, heads, d) = ctx.sequences, ctx.sizes
        # Sums the keys of each row in float32, and needs neither atomic operations nor a copy.
        sums = (
            F.embedding_bag(sequences.row_keys, gradient.flatten(1), sequences.row_starts, mode="sum") for gradient in gradients
        )  # (B * N, heads * d)
        return *(total.view(B, N, heads, d).transpose(1, 2) for total in sums), None


def _joint_rows(k: Tensor, v: Tensor) -> Tensor | None:
    """Return k and v (B, heads, N, d) as one view (B * N, 2 * heads * d) if each token's v follows its k in memory."""
    B, heads, N, d = k.shape
    row = k.stride(2)
    if k.stride() != (N * row, d, row, 1) or v.stride() != k.stride() or v.data_ptr() - k.data_ptr() != heads * d * k.itemsize:
        return None
    if k.untyped_storage().data_ptr() != v.untyped_storage().data_ptr() or (row * k.itemsize) % 8 or (k.data_ptr() % 8):
        return None
    return k.as_strided((B * N, 2 * heads * d), (row, 1))
