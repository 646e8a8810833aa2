"""Index of image features: exact search, and storage in a safetensors file."""

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
_MAX_SCORES = 1 << 26
"""Number of scores computed at once, to bound memory."""
_MAX_HEADER_BYTES = 100_000_000
"""Largest header that safetensors reads; the header contains the image names."""


@dataclass(frozen=True)
class ImageIndex:
    """Features and names of images.

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
            top_k: number of images per query; all if there are fewer.

        Returns:
            Cosine similarities (Q, k), descending, and the indices of their images (Q, k), int64.

        Raises:
            UserError: if ``top_k`` is below 1.
        """
        if top_k < 1:
            raise UserError(f"top_k must be at least 1, got {top_k}")
        count = min(top_k, len(self.names))
        parts = [(part @ self.features.t()).topk(count) for part in queries.split(max(1, _MAX_SCORES // len(self.names)))]
        return torch.cat([part.values for part in parts]), torch.cat([part.indices for part in parts])

    def save(self, path: str | Path) -> None:
        """Write a safetensors file atomically.

        Raises:
            UserError: if it cannot be written, or there are too many names for one file.
        """
        names = json.dumps(self.names)
        # safetensors stores the metadata as JSON, which escapes the quotes of the names again.
        if len(json.dumps(names)) + 1000 > _MAX_HEADER_BYTES:
            raise UserError(
                f"index '{path}': {len(self.names)} image names are too many for one file: index parts of the folder"
            )
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
            raise UserError(f"index '{path}' cannot be written ({reason}): give another path, or free some space") from error

    @classmethod
    def load(cls, path: str | Path, model: str) -> ImageIndex:
        """Read a file that :meth:`save` wrote.

        Args:
            path: the file.
            model: fingerprint of the weights that encode the queries.

        Raises:
            UserError: if the file cannot be read, is not an index, or was made with other weights.
        """
        if not Path(path).is_file():
            raise UserError(f"index '{path}' does not exist: make it with index() and save()")
        try:
            with safe_open(path, "pt") as file:
                metadata = file.metadata() or {}
                features = file.get_tensor("features") if metadata.get("format") == _FORMAT else None
        except (SafetensorError, OSError) as error:
            raise UserError(
                f"index '{path}' cannot be read ({error}): the file is damaged or not an index: index the images again"
            ) from error
        if features is None:
            raise UserError(f"'{path}' is not an image index: give a file that save() wrote")
        if metadata.get("model") != model:
            raise UserError(f"index '{path}' was made with other weights: load those weights, or index the images again")
        try:
            names = json.loads(metadata["names"])
        except (KeyError, ValueError) as error:
            raise UserError(f"index '{path}' has no image names ({error!r}): index the images again") from error
        if features.ndim != 2 or not isinstance(names, list) or len(names) != len(features):
            raise UserError(f"index '{path}' does not have one name per feature and is damaged: index the images again")
        return cls(features, tuple(names), model)


def fingerprint(network: nn.Module) -> str:
    """Return a SHA-256 hash of a network's weights and their keys; it does not depend on the device."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
