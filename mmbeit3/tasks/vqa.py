"""Visual question answering as classification over the most frequent answers (arXiv 2208.10442, appendix)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmbeit3.errors import UserError
from mmbeit3.models.beit3 import Arch, BEiT3
from mmbeit3.ops import Linear, widened
from mmbeit3.registry import MODELS
from mmbeit3.tasks.base import TaskModel
from mmbeit3.tasks.heads import freeze_unused, init_linears
from mmbeit3.tasks.labels import add_predictions
from mmbeit3.text.names import read_names

__all__ = ["BEiT3VQA", "VQANetwork"]

_OFFICIAL_ANSWERS = 3129
"""Number of answers of the released models."""


class VQANetwork(BEiT3):
    """BEiT-3 with a pooler on the class token and a head that scores every answer.

    Image and question are encoded together. The state dict keys are those of the official checkpoints. The network has no
    final norm; the pooler begins with one instead.

    Args:
        arch: see :class:`~mmbeit3.models.beit3.BEiT3`.
        num_answers: number of answers.
        **kwargs: further arguments of :class:`~mmbeit3.models.beit3.BEiT3`.
    """

    def __init__(self, arch: str | Mapping[str, Any] | Arch, num_answers: int = _OFFICIAL_ANSWERS, **kwargs: Any) -> None:
        super().__init__(arch, **{"final_norm": False, **kwargs})
        C = self.arch.embed_dims
        self.pooler = nn.Sequential(OrderedDict(norm=nn.LayerNorm(C), dense=Linear(C, C), activation=nn.Tanh()))
        self.head = nn.Sequential(Linear(C, 2 * C), nn.LayerNorm(2 * C), nn.GELU(), Linear(2 * C, num_answers))
        init_linears(self.pooler, init=self.arch.init)
        init_linears(self.head, init=self.arch.init)
        freeze_unused(self, uses_text_output=False)

    def logits(self, image: Tensor, tokens: Tensor, padding_mask: Tensor | None = None) -> Tensor:
        """Return the logits of all answers (B, num_answers), never in half precision.

        Args:
            image: (B, 3, H, W), normalised.
            tokens: ids of the questions (B, T).
            padding_mask: boolean (B, T), True = pad.
        """
        states = cast(Tensor, self(image, tokens, padding_mask).vision)
        return widened(self.head(self.pooler(states[:, 0])))


@MODELS.register_module()
class BEiT3VQA(TaskModel):
    """Classifier over answers to questions about images.

    Several answers may be partly correct, so each answer has a sigmoid. The loss is the binary cross-entropy with soft targets,
    summed over answers and averaged over questions. Samples have ``labels`` (n,), the annotated answers, and ``scores`` (n,),
    their soft targets (0 to 1).

    Args:
        network: arguments of :class:`VQANetwork` except ``num_answers``.
        answers: the answers in the order of their labels, or a file of them, see :func:`~mmbeit3.text.names.read_names`.
            Without it, predictions are labels only.
        num_answers: number of answers; default the length of ``answers``, or 3129 as in the released models.
        **kwargs: further arguments of :class:`~mmbeit3.tasks.base.TaskModel`.

    Raises:
        UserError: if the answers cannot be read, or their number is not ``num_answers``.
    """

    network: VQANetwork

    def __init__(
        self,
        network: Mapping[str, Any],
        answers: str | Path | Sequence[str] | None = None,
        num_answers: int | None = None,
        **kwargs: Any,
    ) -> None:
        names = None if answers is None else read_names(answers, "answers")
        if names is not None and num_answers not in (None, len(names)):
            where = f" '{answers}'" if isinstance(answers, (str, Path)) else ""
            raise UserError(
                f"answers{where} has {len(names)} entries, but num_answers is {num_answers}: give the list that the model was "
                "trained with"
            )
        self.num_answers = num_answers or (_OFFICIAL_ANSWERS if names is None else len(names))
        super().__init__(VQANetwork(**network, num_answers=self.num_answers), **kwargs)
        self.answers = names

    def outputs(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return the logits (B, num_answers)."""
        return self.network.logits(self.normalize(inputs["image"]), inputs["tokens"], inputs["padding_mask"])

    def losses(self, inputs: Mapping[str, Tensor], data_samples: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """Return ``loss_vqa``, and ``score``, the mean soft target (0 to 1) of the top answers.

        Raises:
            UserError: if a sample has no targets, or a label outside of the model's answers.
        """
        logits = self.outputs(inputs)
        targets = self._targets(data_samples, logits)
        # The mean over B x num_answers, times num_answers: summed over answers, averaged over questions.
        loss = F.binary_cross_entropy_with_logits(logits, targets) * self.num_answers
        score = targets.gather(1, logits.detach().argmax(dim=1, keepdim=True)).mean()
        return {"loss_vqa": loss, "score": score}

    @torch.no_grad()
    def predict(self, inputs: Mapping[str, Tensor], data_samples: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Add ``pred_label`` (1,), ``pred_score`` (num_answers,), the sigmoids, and, with ``answers``, ``pred_answer``."""
        predicted = add_predictions(data_samples, self.outputs(inputs).sigmoid())
        if self.answers is not None:
            for sample in predicted:
                sample["pred_answer"] = self.answers[int(sample["pred_label"])]
        return predicted

    def _targets(self, data_samples: Sequence[Mapping[str, Any]], logits: Tensor) -> Tensor:
        """Return the soft targets (B, num_answers) with the dtype and device of the logits."""
        device = logits.device
        if any("labels" not in sample or "scores" not in sample for sample in data_samples):
            raise UserError(
                "samples have no labels and scores, which training needs: use a split with answers in its annotations"
            )
        labels = torch.cat([sample["labels"] for sample in data_samples]).to(device)
        scores = torch.cat([sample["scores"] for sample in data_samples]).to(device)
        if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < self.num_answers:
            raise UserError(
                f"labels are from {int(labels.min())} to {int(labels.max())}, but the model has {self.num_answers} answers "
                f"(0 to {self.num_answers - 1}): give model and dataset the same list of answers"
            )
        rows = [row for row, sample in enumerate(data_samples) for _ in range(len(sample["labels"]))]
        targets = logits.new_zeros(len(data_samples), self.num_answers)
        targets[torch.tensor(rows, dtype=torch.int64, device=device), labels] = scores.to(logits.dtype)
        return targets
