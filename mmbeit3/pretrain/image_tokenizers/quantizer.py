"""The tokenizer's codebook, which is updated by moving averages of the embeddings assigned to each code.

Codes and embeddings are unit vectors. The nearest code is found by Euclidean distance, which for unit vectors is the same as by
cosine. The codebook starts with the centres of a k-means over the first batch.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F

from mmbeit3.ops import wide_dtype, widened
from mmbeit3.pretrain.ranks import world_size

__all__ = ["Codebook", "Quantizer", "gather_rows", "nearest", "spherical_kmeans"]

_ROWS = 16384
"""Number of embeddings compared with the codebook at a time: 0.5 GB of float32 products for 8192 codes."""


class Codebook(nn.Module):
    """The codes, as buffers and not parameters: gradients do not change them, and FSDP does not shard them.

    The buffers are named as in the released files. ``cluster_size`` is the number of embeddings of each code in the initial
    k-means, ``initted`` is 1 once that has run, and ``embed_avg`` is written once and never read. The running count is
    :class:`Quantizer`'s ``cluster_size``.

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
    def init_by_kmeans(self, embeddings: Tensor) -> None:
        """Initialise the codes by k-means over the embeddings of all ranks; do nothing if they are initialised.

        Args:
            embeddings: this rank's unit vectors (M, dims).
        """
        if self.initted.item():
            return
        gathered = gather_rows(embeddings)
        if world_size() == 1 or dist.get_rank() == 0:
            centres, counts = spherical_kmeans(gathered, len(self.weight))
            self.weight.copy_(centres)
            self.cluster_size.copy_(counts)
        if world_size() > 1:
            # All ranks take the result of rank 0: the order of summation may differ between devices, but codebooks must be
            # equal.
            for buffer in (self.weight, self.cluster_size):
                dist.broadcast(buffer, src=0)
        self.embed_avg.copy_(self.weight)
        self.initted.fill_(1)


class Quantizer(nn.Module):
    """Vector quantisation of unit vectors with a codebook of moving averages (van den Oord et al., arXiv 1711.00937).

    In training, each code becomes ``normalise(decay * code + (1 - decay) * normalise(mean of its embeddings))``, with the mean
    over all ranks; a code without embeddings does not change. In evaluation mode no code changes.

    Embeddings move while the encoder learns, and codes that none of them reaches would stay unused. With ``revive_below``, such
    a code is replaced by a random embedding of the batch (as in Jukebox, arXiv 2005.00341, section 3.2).

    Args:
        num_codes: number of codes.
        dims: width of a code.
        decay: decay of the moving averages.
        beta: weight of the commitment loss.
        revive_below: use of a code, as a fraction of the mean use of all codes, below which it is replaced. 0 replaces none.

    Raises:
        ValueError: if ``revive_below`` is not from 0 to below 1.
    """

    cluster_size: Tensor

    def __init__(self, num_codes: int, dims: int, decay: float = 0.99, beta: float = 1.0, revive_below: float = 0.0) -> None:
        super().__init__()
        if not 0 <= revive_below < 1:
            raise ValueError(f"revive_below must be from 0 to below 1, got {revive_below}")
        self.decay = decay
        self.beta = beta
        self.revive_below = revive_below
        self.embedding = Codebook(num_codes, dims)
        self.register_buffer("cluster_size", torch.zeros(num_codes))

    def forward(self, embeddings: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Quantise embeddings, and in training update the codes.

        Args:
            embeddings: unit vectors (B, N, dims).

        Returns:
            The codes' vectors (B, N, dims), whose gradients pass to the embeddings unchanged (straight-through); the commitment
            loss, ``beta`` times the mean squared error between embeddings and vectors; and the codes (B, N), int64.
        """
        with torch.autocast(embeddings.device.type, enabled=False):
            embeddings = widened(embeddings)
            rows = embeddings.detach().flatten(0, 1)
            if self.training:
                self.embedding.init_by_kmeans(rows)
            codes = self.codes(embeddings)
            vectors = self.vectors(codes)
            if self.training:
                self._update_codes(rows, codes.flatten())
            commitment = self.beta * F.mse_loss(embeddings, vectors)
            # Straight-through estimator: the value is that of the vectors, the gradient that of the embeddings.
            return embeddings + (vectors - embeddings).detach(), commitment, codes

    def codes(self, embeddings: Tensor) -> Tensor:
        """Return the nearest codes (...) of embeddings (..., dims) by Euclidean distance, without any update."""
        return nearest(embeddings.detach().flatten(0, -2), self.embedding.weight).view(embeddings.shape[:-1])

    def vectors(self, codes: Tensor) -> Tensor:
        """Return the codebook's vectors (..., dims) of codes (...)."""
        return F.embedding(codes, self.embedding.weight)

    @torch.no_grad()
    def _update_codes(self, rows: Tensor, codes: Tensor) -> None:
        """Move each code towards the mean of its embeddings ``rows`` (M, dims) over all ranks."""
        sums, counts = _sum_by_code(rows, codes, len(self.cluster_size))
        if world_size() > 1:
            # One message for both.
            both = torch.cat([sums, counts[:, None]], dim=1)
            dist.all_reduce(both)
            sums, counts = both[:, :-1], both[:, -1]
        self.cluster_size.lerp_(counts, 1 - self.decay)
        weight = self.embedding.weight
        # The mean needs no division by the counts, as it is normalised.
        moved = F.normalize(torch.lerp(weight, F.normalize(sums, dim=-1), 1 - self.decay), dim=-1)
        weight.copy_(torch.where(counts[:, None] > 0, moved, weight))
        if self.revive_below:
            self._revive(rows)

    def _revive(self, rows: Tensor) -> None:
        """Replace codes that are hardly used by random ones of ``rows`` (M, dims). All ranks take those of rank 0."""
        # A moving average that starts at 0 is too small by the same factor for all codes, so their ratio needs no correction.
        mean = self.cluster_size.mean()
        unused = (self.cluster_size < self.revive_below * mean).nonzero().flatten()
        if not len(unused):
            return
        drawn = rows[torch.randint(len(rows), (len(unused),), device=rows.device)].to(self.embedding.weight.dtype)
        if world_size() > 1:
            dist.broadcast(drawn, src=0)
        self.embedding.weight[unused] = drawn
        self.cluster_size[unused] = mean


@torch.no_grad()
def nearest(rows: Tensor, codebook: Tensor) -> Tensor:
    """Return for each of ``rows`` (M, D) the index (M,) of the nearest row of ``codebook`` (K, D) by Euclidean distance.

    For unit vectors this is the code with the largest cosine. Ties go to the first code.
    """
    dtype = wide_dtype(rows, codebook)
    codebook = codebook.to(dtype)
    # |r - c|² = |r|² - 2 (r·c - |c|² / 2), and |r|² is the same for all codes: the nearest code maximises r·c - |c|² / 2.
    offset = codebook.square().sum(dim=1) / -2
    with torch.autocast(rows.device.type, enabled=False):
        return torch.cat([torch.addmm(offset, part.to(dtype), codebook.T).argmax(dim=1) for part in rows.split(_ROWS)])


@torch.no_grad()
def spherical_kmeans(rows: Tensor, num_centres: int, iterations: int = 10, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Run k-means by cosine distance, which initialises the codebook in BEiT v2 (10 iterations).

    A separate generator draws the first centres from the rows, so the result depends on the arguments only. If there are fewer
    rows than centres, rows are repeated with a little noise: of exact copies only the first would get any rows.

    Args:
        rows: unit vectors (M, D), M at least 1.
        num_centres: number of centres.
        iterations: number of rounds of assigning and averaging.
        seed: seed of the first centres.

    Returns:
        Unit centres (num_centres, D), and the number of rows of each in the last round (num_centres,). A centre without rows
        does not move.
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
        sums, counts = _sum_by_code(rows, nearest(rows, centres), num_centres)
        centres = torch.where(counts[:, None] > 0, F.normalize(sums, dim=-1), centres)
    return centres, counts


def _sum_by_code(rows: Tensor, codes: Tensor, num_codes: int) -> tuple[Tensor, Tensor]:
    """Compute sum (K, D) and number (K,) of the rows of each code."""
    sums = rows.new_zeros(num_codes, rows.shape[1]).index_add_(0, codes, rows)
    return sums, torch.bincount(codes, minlength=num_codes).to(sums.dtype)


def gather_rows(rows: Tensor) -> Tensor:
    """Gather the rows of all ranks in rank order; their numbers may differ, so rows are padded to the largest."""
    if world_size() == 1:
        return rows
    length = torch.tensor([len(rows)], device=rows.device)
    lengths = [torch.empty_like(length) for _ in range(world_size())]
    dist.all_gather(lengths, length)
    sizes = [int(size) for size in lengths]
    padded = F.pad(rows, (0, 0, 0, max(sizes) - len(rows)))
    parts = [torch.empty_like(padded) for _ in sizes]
    dist.all_gather(parts, padded)
    return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])
