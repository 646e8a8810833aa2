"""The tokenizer's codebook: unit vectors that follow the embeddings assigned to them by a moving average."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F

from mmbeit3.ops import wide_dtype, widened

__all__ = ["Codebook", "Quantizer", "nearest", "spherical_kmeans"]

_ROWS = 16384
"""Embeddings compared with the codebook at a time: 0.5 GB of float32 products with 8192 codes."""


class Codebook(nn.Module):
    """The codes and how they started. Buffers, not parameters: no gradient moves them, and FSDP leaves them whole.

    The names are those of the released files. There ``cluster_size`` is how many embeddings each code had at the k-means
    start, ``initted`` whether that start took place, and ``embed_avg`` is written once and never read; the running count is
    the quantizer's own ``cluster_size``.

    Args:
        num_codes: number of codes.
        dims: width of a code.
    """

    weight: Tensor
    embed_avg: Tensor
    cluster_size: Tensor
    initted: Tensor

    def __init__(self, num_codes: int, dims: int) -> None:
        super().__init__()
        self.register_buffer("weight", F.normalize(torch.randn(num_codes, dims), dim=-1))
        self.register_buffer("embed_avg", self.weight.clone())
        self.register_buffer("cluster_size", torch.zeros(num_codes))
        self.register_buffer("initted", torch.zeros(1))

    @torch.no_grad()
    def start(self, embeddings: Tensor) -> None:
        """Place the codes by k-means over the embeddings of all ranks, unless that was done before.

        Args:
            embeddings: this rank's unit vectors (M, dims).
        """
        if self.initted.item():
            return
        everything = _gather(embeddings)
        if _world_size() == 1 or dist.get_rank() == 0:
            centres, counts = spherical_kmeans(everything, len(self.weight))
            self.weight.copy_(centres)
            self.cluster_size.copy_(counts)
        if _world_size() > 1:
            # One rank's result for all: summation order differs between devices, and codebooks must not.
            for buffer in (self.weight, self.cluster_size):
                dist.broadcast(buffer, src=0)
        self.embed_avg.copy_(self.weight)
        self.initted.fill_(1)


class Quantizer(nn.Module):
    """Replaces unit vectors by their nearest codes; in training the codes follow (van den Oord et al., arXiv 1711.00937).

    In training, each code moves to ``normalise(decay * code + (1 - decay) * normalise(mean of its embeddings))``, the mean
    over all ranks; a code that no embedding chose stays. In evaluation nothing changes.

    Args:
        num_codes: number of codes.
        dims: width of a code.
        decay: of the moving averages.
        beta: weight of the commitment loss.
    """

    cluster_size: Tensor

    def __init__(self, num_codes: int, dims: int, decay: float = 0.99, beta: float = 1.0) -> None:
        super().__init__()
        self.decay = decay
        self.beta = beta
        self.embedding = Codebook(num_codes, dims)
        self.register_buffer("cluster_size", torch.zeros(num_codes))

    def forward(self, embeddings: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Quantise, and in training move the codes.

        Args:
            embeddings: unit vectors (B, N, dims).

        Returns:
            The codes' vectors (B, N, dims), through which gradients pass as if they were the embeddings; the commitment
            loss, ``beta`` times the mean squared distance between both; and the codes (B, N), int64.
        """
        with torch.autocast(embeddings.device.type, enabled=False):
            embeddings = widened(embeddings)
            rows = embeddings.detach().flatten(0, 1)
            if self.training:
                self.embedding.start(rows)
            codes = self.codes(embeddings)
            vectors = self.vectors(codes)
            if self.training:
                self._follow(rows, codes.flatten())
            commitment = self.beta * F.mse_loss(embeddings, vectors)
            return embeddings + (vectors - embeddings).detach(), commitment, codes

    def codes(self, embeddings: Tensor) -> Tensor:
        """Nearest codes (...) by Euclidean distance of embeddings (..., dims); changes nothing."""
        return nearest(embeddings.detach().flatten(0, -2), self.embedding.weight).view(embeddings.shape[:-1])

    def vectors(self, codes: Tensor) -> Tensor:
        """The codebook's vectors (..., dims) of codes (...)."""
        return F.embedding(codes, self.embedding.weight)

    @torch.no_grad()
    def _follow(self, rows: Tensor, codes: Tensor) -> None:
        sums, counts = _totals(rows, codes, len(self.cluster_size))
        if _world_size() > 1:
            both = torch.cat([sums, counts[:, None]], dim=1)
            dist.all_reduce(both)
            sums, counts = both[:, :-1], both[:, -1]
        self.cluster_size.lerp_(counts, 1 - self.decay)
        weight = self.embedding.weight
        moved = F.normalize(torch.lerp(weight, F.normalize(sums, dim=-1), 1 - self.decay), dim=-1)
        weight.copy_(torch.where(counts[:, None] > 0, moved, weight))


@torch.no_grad()
def nearest(rows: Tensor, codebook: Tensor) -> Tensor:
    """Index (M,) of the row of ``codebook`` (K, D) with the least Euclidean distance to each of ``rows`` (M, D).

    Among unit vectors this is the code of the largest cosine. Of equals the first is taken.
    """
    dtype = wide_dtype(rows, codebook)
    codebook = codebook.to(dtype)
    # |r - c|² = |r|² - 2 (r·c - |c|² / 2), and |r|² is the same for all codes.
    offset = codebook.square().sum(dim=1) / -2
    with torch.autocast(rows.device.type, enabled=False):
        return torch.cat([torch.addmm(offset, part.to(dtype), codebook.T).argmax(dim=1) for part in rows.split(_ROWS)])


@torch.no_grad()
def spherical_kmeans(rows: Tensor, num_centres: int, iterations: int = 10, seed: int = 0) -> tuple[Tensor, Tensor]:
    """K-means by cosine distance, the codebook's start in BEiT v2 (10 iterations).

    The first centres are drawn from the rows with a generator of its own, so that the result depends on the rows alone. With
    fewer rows than centres, rows are drawn again with a little noise: exact copies would never be anybody's nearest.

    Args:
        rows: unit vectors (M, D), M at least 1.
        num_centres: centres wanted.
        iterations: rounds of assigning and averaging.
        seed: of the first centres.

    Returns:
        Unit centres (num_centres, D), and how many rows each had in the last round (num_centres,). A centre that loses all
        of its rows stays where it was.
    """
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(rows), generator=generator)
    chosen = order.repeat(-(-num_centres // len(rows)))[:num_centres]
    centres = widened(rows[chosen.to(rows.device)])
    if num_centres > len(rows):
        noise = 0.01 * torch.randn(num_centres - len(rows), rows.shape[1], generator=generator)
        centres[len(rows) :] += noise.to(rows.device)
    centres = F.normalize(centres, dim=-1)
    counts = centres.new_zeros(num_centres)
    for _ in range(iterations):
        sums, counts = _totals(rows, nearest(rows, centres), num_centres)
        centres = torch.where(counts[:, None] > 0, F.normalize(sums, dim=-1), centres)
    return centres, counts


def _totals(rows: Tensor, codes: Tensor, num_codes: int) -> tuple[Tensor, Tensor]:
    """Sum (K, D) and number (K,) of the rows of each code."""
    sums = rows.new_zeros(num_codes, rows.shape[1]).index_add_(0, codes, rows)
    return sums, torch.bincount(codes, minlength=num_codes).to(sums.dtype)


def _world_size() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def _gather(rows: Tensor) -> Tensor:
    """All ranks' rows in rank order; ranks may have different numbers of them."""
    if _world_size() == 1:
        return rows
    length = torch.tensor([len(rows)], device=rows.device)
    lengths = [torch.empty_like(length) for _ in range(_world_size())]
    dist.all_gather(lengths, length)
    sizes = [int(size) for size in lengths]
    padded = F.pad(rows, (0, 0, 0, max(sizes) - len(rows)))
    parts = [torch.empty_like(padded) for _ in sizes]
    dist.all_gather(parts, padded)
    return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])
