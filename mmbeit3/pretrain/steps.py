"""The dataset of pretraining: each item is a whole step, with a batch of every stream (images, texts, pairs)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from mmbeit3.errors import UserError
from mmbeit3.pretrain.data import Reader, Record, RecordSource, ResumableDataset, open_records
from mmbeit3.pretrain.views import Masking, RandomView
from mmbeit3.registry import DATASETS, FUNCTIONS
from mmbeit3.text.tokenizer import TextTokenizer

__all__ = ["PretrainSteps", "check_streams", "only_item"]

_ENDLESS = 2**31
_KINDS = ("images", "texts", "pairs")


def check_streams(streams: Any) -> None:
    """Check the types and values of the ``streams`` of :class:`PretrainSteps`.

    Raises:
        UserError: for the first invalid stream.
    """
    if not isinstance(streams, Mapping) or not streams:
        raise UserError(
            "streams must be a dict with at least one stream, such as images=dict(kind='images', paths=..., batch=32)"
        )
    for name, stream in streams.items():
        if not isinstance(stream, Mapping):
            raise UserError(
                f"stream '{name}' is {stream!r} instead of a dict with kind, paths and batch: to remove a stream, give the "
                "others in streams=dict(_delete_=True, ...)"
            )
        kind, batch = stream.get("kind"), stream.get("batch")
        if kind not in _KINDS:
            raise UserError(f"stream '{name}': kind must be one of {', '.join(_KINDS)}, got {kind!r}")
        if type(batch) is not int or batch < 1:
            raise UserError(f"stream '{name}': batch must be a positive whole number of records, got {batch!r}")
        paths = stream.get("paths")
        listed = list(paths) if isinstance(paths, list | tuple) else [paths]
        if not listed or not all(isinstance(path, str | Path | Mapping) for path in listed):
            raise UserError(f"stream '{name}': paths must be a path or a list of paths, got {paths!r}")
        for part in ("view", "masking"):
            if not isinstance(stream.get(part) or {}, Mapping):
                raise UserError(f"stream '{name}': {part} must be a dict of arguments, got {stream[part]!r}")


@FUNCTIONS.register_module()
def only_item(steps: Sequence[Any]) -> Any:
    """Return the only element of a list; a ``collate_fn`` for items that are whole batches.

    PyTorch has ``batch_size=None`` for this, but MMEngine's ``FlexibleRunner`` requires a number.
    """
    (step,) = steps
    return step


@DATASETS.register_module()
class PretrainSteps(ResumableDataset):
    """Endless steps with a batch of every stream.

    A config's ``train_dataloader`` needs ``batch_size=1``, ``sampler=None`` and
    ``collate_fn=dict(type='mmbeit3.only_item')``.

    Args:
        streams: streams by name, each a dict with ``kind`` (``'images'``, ``'texts'`` or ``'pairs'``), ``paths`` (see
            :func:`~mmbeit3.pretrain.data.open_records`), ``batch`` (number of records per step and rank), and optionally
            ``view`` (arguments of :class:`~mmbeit3.pretrain.views.RandomView`) and ``masking`` (arguments of
            :class:`~mmbeit3.pretrain.views.Masking`).
        image_size: side of the square views in pixels.
        patch_size: side of the model's patches in pixels.
        tokenizer: path of a SentencePiece model; required if a stream has texts.
        seed: seed of order, views and masks.
        max_errors: number of unusable records that each worker may skip in an epoch.

    Raises:
        UserError: if a stream is invalid (see :func:`check_streams`), the tokenizer is missing, or data does not exist.
    """

    def __init__(
        self,
        streams: Mapping[str, Mapping[str, Any]],
        image_size: int,
        patch_size: int,
        tokenizer: str | None = None,
        seed: int = 0,
        max_errors: int = 100,
    ) -> None:
        super().__init__()
        self.seed = seed
        self.max_errors = max_errors
        self.tokenizer = ids = None if tokenizer is None else TextTokenizer(tokenizer)
        check_streams(streams)
        side = image_size // patch_size
        self.records, self.batches, self.views, self.maskings = {}, {}, {}, {}
        for name, stream in streams.items():
            kind = stream["kind"]
            if kind != "images" and ids is None:
                raise UserError(f"stream '{name}' has texts: give tokenizer=, the path of a SentencePiece model")
            self.records[name] = open_records(kind, stream["paths"])
            self.batches[name] = stream["batch"]
            self.views[name] = RandomView(image_size, **(stream.get("view") or {}))
            masking = stream.get("masking") or {}
            self.maskings[name] = Masking(grid=(side, side), tokenizer=ids, name=name, **masking)

    def __len__(self) -> int:
        """Return a number of steps above any training's: MMEngine requires a length, but the data is endless."""
        return _ENDLESS

    def read(self, reader: Reader, position: Mapping[str, Any] | None) -> Iterator[tuple[Any, dict[str, Any]]]:
        """Yield a reader's steps. Reader and step number seed the generator of a step, so a resumed step is the same."""
        sources = {
            name: RecordSource(records, reader, self.seed, endless=True, max_errors=self.max_errors)
            for name, records in self.records.items()
        }
        step = 0
        if position is not None:
            step = position["step"]
            for name, source in sources.items():
                source.load_state_dict(position["streams"].get(name, {}))
        records = {name: iter(source) for name, source in sources.items()}
        while True:
            rng = np.random.default_rng([self.seed, reader.index, step])
            inputs = {name: self._draw(name, stream, rng) for name, stream in records.items()}
            step += 1
            yield inputs, {"step": step, "streams": {name: source.state_dict() for name, source in sources.items()}}

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield this worker's steps: ``inputs`` of the model, and as ``data_samples`` the position for ``ExactResumeHook``."""
        for inputs, state in super().__iter__():
            yield {"inputs": inputs, "data_samples": state}

    def _draw(self, name: str, records: Iterator[Record], rng: np.random.Generator) -> dict[str, Tensor]:
        samples = []
        for _ in range(self.batches[name]):
            record = next(records)
            sample: dict[str, Any] = {}
            if "image" in record:
                sample["view"] = self.views[name](record["image"], rng)
            if "text" in record:
                sample["text"] = record["text"]
            samples.append(sample)
        return self.maskings[name](samples, rng)
