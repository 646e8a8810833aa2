"""Training steps of pretraining: so many images, texts and pairs each, as MMEngine's data loader asks for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from mmbeit3.errors import UserError
from mmbeit3.pretrain.data import Place, RecordSource, open_records
from mmbeit3.pretrain.data.dataset import process_rank
from mmbeit3.pretrain.tokenizers.text import TextTokenizer
from mmbeit3.pretrain.views import Masking, RandomView
from mmbeit3.registry import DATASETS, FUNCTIONS

__all__ = ["PretrainSteps", "as_it_is"]

_ENDLESS = 2**31
_KINDS = ("images", "texts", "pairs")


@FUNCTIONS.register_module()
def as_it_is(step: Any) -> Any:
    """For ``collate_fn``: a step needs no collating any more."""
    return step


@DATASETS.register_module()
class PretrainSteps(IterableDataset[dict[str, dict[str, dict[str, Tensor]]]]):
    """Endless steps of several streams.

    In a config's ``train_dataloader`` with ``batch_size=None``, ``sampler=None``, ``collate_fn=dict(type='mmbeit3.as_it_is')``.

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
        UserError: for unknown kinds, or a missing tokenizer or data.
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
        ids = None if tokenizer is None else TextTokenizer(tokenizer)
        side = image_size // patch_size
        self.records, self.batches, self.views, self.maskings = {}, {}, {}, {}
        for name, stream in streams.items():
            kind = stream.get("kind")
            if kind not in _KINDS:
                raise UserError(f"stream '{name}': kind must be one of {', '.join(_KINDS)}, got {kind!r}")
            if kind != "images" and ids is None:
                raise UserError(f"stream '{name}' has texts: give tokenizer=, a SentencePiece model")
            self.records[name] = open_records(kind, stream["paths"])
            self.batches[name] = int(stream["batch"])
            self.views[name] = RandomView(image_size, **stream.get("view", {}))
            self.maskings[name] = Masking(grid=(side, side), tokenizer=ids, **stream.get("masking", {}))

    def __len__(self) -> int:
        """MMEngine wants to know; it is more than anybody trains for."""
        return _ENDLESS

    def __iter__(self) -> Iterator[dict[str, dict[str, dict[str, Tensor]]]]:
        """This worker's steps: ``inputs`` of :class:`~mmbeit3.pretrain.pretrainer.BEiT3Pretrainer`."""
        place = _place()
        sources = {
            name: iter(RecordSource(records, place, self.seed, endless=True, max_errors=self.max_errors))
            for name, records in self.records.items()
        }
        rng = np.random.default_rng([self.seed, place.stream])
        while True:
            inputs = {}
            for name, source in sources.items():
                samples = []
                for _ in range(self.batches[name]):
                    record = next(source)
                    sample: dict[str, Any] = {}
                    if "image" in record:
                        sample["view"] = self.views[name](record["image"], rng)
                    if "text" in record:
                        sample["text"] = record["text"]
                    samples.append(sample)
                inputs[name] = self.maskings[name](samples, rng)
            yield {"inputs": inputs}


def _place() -> Place:
    """Which of all data loaders' workers this is."""
    worker = get_worker_info()
    return Place(*process_rank(), worker.id if worker else 0, worker.num_workers if worker else 1)
