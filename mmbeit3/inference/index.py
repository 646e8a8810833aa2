"""Features of many images, kept in a file and searched exactly."""

from __future__ import annotations

import hashlib
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from mmbeit3.errors import UserError, one_line

__all__ = ["ImageIndex", "fingerprint"]

_FORMAT = "mmbeit3 image index 1"
_MOST_SCORES = 1 << 26
"""Scores that are computed at once, to bound memory."""
_LARGEST_HEADER = 100_000_000
"""Bytes; safetensors reads no more, and names are in the header."""


@dataclass(frozen=True)
class ImageIndex:
    """Images' features and names.

    Attributes:
        features: unit vectors (N, C), float32, on the CPU.
        names: paths of the N images.
        model: fingerprint of the weights that made the features, see :func:`fingerprint`.
    """

    features: Tensor
    names: tuple[str, ...]
    model: str

    def search(self, queries: Tensor, top_k: int) -> tuple[Tensor, Tensor]:
        """Find the images with the highest cosines by exact search.

        Args:
            queries: unit vectors (Q, C), float32.
            top_k: how many of each; all, if there are fewer.

        Returns:
            Cosines (Q, k), descending, and their images' numbers (Q, k), int64.

        Raises:
            UserError: if ``top_k`` is below 1.
        """
        if top_k < 1:
            raise UserError(f"top_k must be at least 1, got {top_k}")
        count = min(top_k, len(self.names))
        parts = [(part @ self.features.t()).topk(count) for part in queries.split(max(1, _MOST_SCORES // len(self.names)))]
        return torch.cat([part.values for part in parts]), torch.cat([part.indices for part in parts])

    def save(self, path: str | Path) -> None:
        """Write a safetensors file, complete or not at all.

        Raises:
            UserError: if it cannot be written, or names are too many for one file.
        """
        names = json.dumps(self.names)
        # The header is JSON itself, so that quotes are escaped once more.
        if len(json.dumps(names)) + 1000 > _LARGEST_HEADER:
            raise UserError(f"index '{path}': {len(self.names)} names are too many for one file: index parts of the folder")
        path = Path(path)
        metadata = {"format": _FORMAT, "model": self.model, "names": names}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as folder:
                complete = Path(folder) / "index"
                save_file({"features": self.features}, complete, metadata)
                complete.replace(path)
        except (OSError, SafetensorError) as error:
            reason = getattr(error, "strerror", None) or one_line(error)
            raise UserError(f"index '{path}' cannot be written: {reason}: give another path, or make room there") from error

    @classmethod
    def load(cls, path: str | Path, model: str) -> ImageIndex:
        """Read what :meth:`save` wrote.

        Args:
            path: the file.
            model: fingerprint of the weights that queries will be encoded by.

        Raises:
            UserError: if the file cannot be read or is no index, or other weights made it.
        """
        if not Path(path).is_file():
            raise UserError(f"index '{path}' does not exist: make it with index() and save()")
        try:
            with safe_open(path, "pt") as file:
                metadata = file.metadata() or {}
                features = file.get_tensor("features") if metadata.get("format") == _FORMAT else None
        except (SafetensorError, OSError) as error:
            raise UserError(f"index '{path}' cannot be read ({error}): it is damaged or no index") from error
        if features is None:
            raise UserError(f"'{path}' is no index of images: give a file that save() wrote")
        if metadata.get("model") != model:
            raise UserError(f"index '{path}' was made by other weights: load those, or index the images again")
        try:
            names = json.loads(metadata["names"])
        except (KeyError, ValueError) as error:
            raise UserError(f"index '{path}' has no names of its images ({error!r}): index them again") from error
        if features.ndim != 2 or not isinstance(names, list) or len(names) != len(features):
            raise UserError(f"index '{path}' has not a name for each of its features: it is damaged, index the images again")
        return cls(features, tuple(names), model)


def fingerprint(network: nn.Module) -> str:
    """A hash of a network's weights and their names, on any device the same."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
