"""Training steps of pretraining: so many images, texts and pairs each, as MMEngine's data loader asks for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from mmbeit3.errors import UserError
from mmbeit3.pretrain.data import Place, Record, RecordSource, ResumableDataset, open_records
from mmbeit3.pretrain.views import Masking, RandomView
from mmbeit3.registry import DATASETS, FUNCTIONS
from mmbeit3.text.tokenizer import TextTokenizer

__all__ = ["PretrainSteps", "check_streams", "only_item"]

_ENDLESS = 2**31
_KINDS = ("images", "texts", "pairs")


def check_streams(streams: Any) -> None:
    """Check that streams are what :class:`PretrainSteps` takes, as far as their config tells.

    Raises:
        UserError: naming the first stream that is not.
    """
    if not isinstance(streams, Mapping) or not streams:
        raise UserError("streams must be a dict of at least one, such as images=dict(kind='images', paths=..., batch=32)")
    for name, stream in streams.items():
        if not isinstance(stream, Mapping):
            raise UserError(
                f"stream '{name}' is {stream!r} and should be a dict of kind, paths and batch: to leave it out, give the "
                "others in streams=dict(_delete_=True, ...)"
            )
        kind, batch = stream.get("kind"), stream.get("batch")
        if kind not in _KINDS:
            raise UserError(f"stream '{name}': kind must be one of {', '.join(_KINDS)}, got {kind!r}")
        if type(batch) is not int or batch < 1:
            raise UserError(f"stream '{name}': batch must be a whole number of records from 1, got {batch!r}")
        paths = stream.get("paths")
        if not isinstance(paths, str | Path) and not (
            isinstance(paths, list | tuple) and paths and all(isinstance(path, str | Path) for path in paths)
        ):
            raise UserError(f"stream '{name}': paths must be a path or a list of them, got {paths!r}")
        for part in ("view", "masking"):
            if not isinstance(stream.get(part) or {}, Mapping):
                raise UserError(f"stream '{name}': {part} must be a dict of arguments, got {stream[part]!r}")


@FUNCTIONS.register_module()
def only_item(steps: Sequence[Any]) -> Any:
    """For ``collate_fn``: a step is a whole batch already, and comes alone.

    ``batch_size=None`` would say the same to PyTorch, but MMEngine's ``FlexibleRunner`` asks for a number.
    """
    (step,) = steps
    return step


@DATASETS.register_module()
class PretrainSteps(ResumableDataset):
    """Endless steps of several streams.

    In a config's ``train_dataloader`` with ``batch_size=1``, ``sampler=None`` and
    ``collate_fn=dict(type='mmbeit3.only_item')``.

    Args:
        streams: names to dicts of ``kind`` (``'images'``, ``'texts'`` or ``'pairs'``), ``paths`` as
            :func:`~mmbeit3.pretrain.data.open_records` takes them, ``batch`` (records in a step, on each rank), and optional
            ``view`` (arguments of :class:`~mmbeit3.pretrain.views.RandomView`) and ``masking`` (arguments of
            :class:`~mmbeit3.pretrain.views.Masking`).
        image_size: side of the views in pixels.
        patch_size: side of the model's patches in pixels.
        tokenizer: SentencePiece model; needed where a stream has texts.
        seed: of all randomness.
        max_errors: unusable records that each worker skips in an epoch.

    Raises:
        UserError: for unknown kinds, batches that are no whole numbers from 1, or a missing tokenizer or data.
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
                raise UserError(f"stream '{name}' has texts: give tokenizer=, a SentencePiece model")
            self.records[name] = open_records(kind, stream["paths"])
            self.batches[name] = stream["batch"]
            self.views[name] = RandomView(image_size, **(stream.get("view") or {}))
            masking = stream.get("masking") or {}
            self.maskings[name] = Masking(grid=(side, side), tokenizer=ids, name=name, **masking)

    def __len__(self) -> int:
        """MMEngine wants to know; it is more than anybody trains for."""
        return _ENDLESS

    def read(self, place: Place, position: Mapping[str, Any] | None) -> Iterator[tuple[Any, dict[str, Any]]]:
        """A reader's steps, each of it drawn by a generator that is seeded by the reader and the step's number."""
        sources = {
            name: RecordSource(records, place, self.seed, endless=True, max_errors=self.max_errors)
            for name, records in self.records.items()
        }
        step = 0
        if position is not None:
            step = position["step"]
            for name, source in sources.items():
                source.load_state_dict(position["streams"].get(name, {}))
        records = {name: iter(source) for name, source in sources.items()}
        while True:
            rng = np.random.default_rng([self.seed, place.stream, step])
            inputs = {name: self._draw(name, stream, rng) for name, stream in records.items()}
            step += 1
            yield inputs, {"step": step, "streams": {name: source.state_dict() for name, source in sources.items()}}

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """This worker's steps: ``inputs`` of the models; ``data_samples`` is the position, for ``mmbeit3.ExactResumeHook``."""
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
