"""How well a pretrained model fills in what is masked, next to what any constant guess could do."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mmbeit3.pretrain.pretrainer import BEiT3Pretrainer

__all__ = ["PartScore", "evaluate_pretraining"]


@dataclass
class PartScore:
    """Scores on the masked patches or words of one stream.

    Attributes:
        loss: mean cross entropy in nats.
        accuracy: share of right predictions, 0 to 1.
        targets: how often each code or word was to be predicted.
    """

    loss: float = 0.0
    accuracy: float = 0.0
    targets: Counter[int] = field(default_factory=Counter)

    @property
    def most_frequent(self) -> float:
        """Accuracy of always saying the most frequent target."""
        return max(self.targets.values()) / self.targets.total()

    @property
    def entropy(self) -> float:
        """Entropy of the targets in nats: the least loss of a guess that does not look at the input."""
        total = self.targets.total()
        return -sum(count / total * math.log(count / total) for count in self.targets.values())


@torch.no_grad()
def evaluate_pretraining(model: BEiT3Pretrainer, steps: Iterable[Mapping[str, Mapping[str, Tensor]]]) -> dict[str, PartScore]:
    """Score a model on some steps.

    Args:
        model: the model; put into evaluation mode.
        steps: ``inputs`` of :class:`~mmbeit3.pretrain.pretrainer.BEiT3Pretrainer`, of one size.

    Returns:
        Scores by part, such as ``pairs.text``.
    """
    model.eval()
    scores: dict[str, PartScore] = {}
    for inputs in steps:
        losses, found = model(inputs), model(inputs, mode="predict")
        for name, stream in inputs.items():
            for kind, masks in (("image", "masked_positions"), ("text", "masked_words")):
                if masks not in stream:
                    continue
                truth = found[f"{name}.codes"] if kind == "image" else stream["words"]
                targets = truth[stream[masks].flatten(1).to(truth.device)].tolist()
                part = scores.setdefault(f"{name}.{kind}", PartScore())
                before, now = part.targets.total(), len(targets)
                if now:
                    share = now / (before + now)
                    part.loss += share * (losses[f"{name}.{kind}.loss"].item() - part.loss)
                    part.accuracy += share * (losses[f"{name}.{kind}.accuracy"].item() - part.accuracy)
                    part.targets.update(targets)
    return scores
