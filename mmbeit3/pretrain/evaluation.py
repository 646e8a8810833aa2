"""Loss and accuracy of a pretrained model at masked positions, with the baselines of constant predictions."""

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
        accuracy: fraction of correct predictions, 0 to 1.
        targets: number of occurrences of each code or word as a target.
    """

    loss: float = 0.0
    accuracy: float = 0.0
    targets: Counter[int] = field(default_factory=Counter)

    @property
    def majority_accuracy(self) -> float:
        """Accuracy of always predicting the most frequent target, 0 to 1."""
        return max(self.targets.values()) / self.targets.total()

    @property
    def entropy(self) -> float:
        """Entropy of the targets in nats: the smallest loss of a prediction that ignores the input."""
        total = self.targets.total()
        return -sum(count / total * math.log(count / total) for count in self.targets.values())


@torch.no_grad()
def evaluate_pretraining(model: BEiT3Pretrainer, steps: Iterable[Mapping[str, Mapping[str, Tensor]]]) -> dict[str, PartScore]:
    """Evaluate a model on some steps.

    Args:
        model: the model; this function sets it to evaluation mode.
        steps: ``inputs`` of :class:`~mmbeit3.pretrain.pretrainer.BEiT3Pretrainer`, one per step.

    Returns:
        Scores by part, such as ``pairs.text``: means over the masked positions of all steps.
    """
    model.eval()
    scores: dict[str, PartScore] = {}
    for inputs in steps:
        losses, predictions = model(inputs, mode="evaluate"), model(inputs, mode="predict")
        for name, stream in inputs.items():
            for kind, masks in (("image", "masked_positions"), ("text", "masked_words")):
                if masks not in stream:
                    continue
                truth = predictions[f"{name}.codes"] if kind == "image" else stream["words"]
                targets = truth[stream[masks].flatten(1).to(truth.device)].tolist()
                part = scores.setdefault(f"{name}.{kind}", PartScore())
                before, now = part.targets.total(), len(targets)
                if now:
                    # Running mean over positions: steps have different numbers of masked words.
                    weight = now / (before + now)
                    part.loss += weight * (losses[f"{name}.{kind}.loss"].item() - part.loss)
                    part.accuracy += weight * (losses[f"{name}.{kind}.accuracy"].item() - part.accuracy)
                    part.targets.update(targets)
    return scores
