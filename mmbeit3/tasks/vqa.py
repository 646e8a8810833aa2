"""Visual question answering: a choice among the frequent answers (arXiv 2208.10442, appendix)."""

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
from mmbeit3.tasks.heads import freeze_unreached, init_linears
from mmbeit3.tasks.labels import add_predictions
from mmbeit3.text.names import read_names

__all__ = ["BEiT3VQA", "VQANetwork"]

_OFFICIAL_ANSWERS = 3129


class VQANetwork(BEiT3):
    """Image and question through joint attention; the class token is pooled and compared with every answer.

    Names are those of the official files. The towers end without a norm, the pooler begins with one.

    Args:
        arch: see :class:`~mmbeit3.models.beit3.BEiT3`.
        num_answers: answers to choose from.
        **kwargs: those of :class:`~mmbeit3.models.beit3.BEiT3`.
    """

    def __init__(self, arch: str | Mapping[str, Any] | Arch, num_answers: int = _OFFICIAL_ANSWERS, **kwargs: Any) -> None:
        super().__init__(arch, **{"final_norm": False, **kwargs})
        C = self.arch.embed_dims
        self.pooler = nn.Sequential(OrderedDict(norm=nn.LayerNorm(C), dense=Linear(C, C), activation=nn.Tanh()))
        self.head = nn.Sequential(Linear(C, 2 * C), nn.LayerNorm(2 * C), nn.GELU(), Linear(2 * C, num_answers))
        init_linears(self.pooler, init=self.arch.init)
        init_linears(self.head, init=self.arch.init)
        freeze_unreached(self, text_read=False)

    def logits(self, image: Tensor, tokens: Tensor, padding_mask: Tensor | None = None) -> Tensor:
        """Score every answer: (B, num_answers), never in half precision.

        Args:
            image: (B, 3, H, W), normalised.
            tokens: ids of the questions (B, T).
            padding_mask: boolean (B, T), True = pad.
        """
        states = cast(Tensor, self(image, tokens, padding_mask).vision)
        return widened(self.head(self.pooler(states[:, 0])))


@MODELS.register_module()
class BEiT3VQA(TaskModel):
    """Answers questions about images.

    Several answers may be right to a degree, so each has a sigmoid of its own: binary cross-entropy with soft targets, summed
    over answers, averaged over questions. Samples have ``labels`` (n,) and ``scores`` (n,), the answers that were given and how
    right they are (0 to 1).

    Args:
        network: arguments of :class:`VQANetwork`, but for ``num_answers``.
        answers: the answers in the order of their labels, or a file of them, see :func:`~mmbeit3.text.names.read_names`.
            Without, predictions have labels only.
        num_answers: how many answers there are; default the length of ``answers``, or the official 3129.
        **kwargs: those of :class:`~mmbeit3.tasks.base.TaskModel`.

    Raises:
        UserError: if the answers cannot be read, or are not ``num_answers``.
    """

    network: VQANetwork

    def __init__(
        self,
        network: Mapping[str, Any],
        answers: str | Path | Sequence[str] | None = None,
        num_answers: int | None = None,
        **kwargs: Any,
    ) -> None:
        known = None if answers is None else read_names(answers, "answers")
        if known is not None and num_answers not in (None, len(known)):
            where = f" '{answers}'" if isinstance(answers, (str, Path)) else ""
            raise UserError(
                f"answers{where} are {len(known)}, but num_answers is {num_answers}: give the list that the model was made with"
            )
        self.num_answers = num_answers or (_OFFICIAL_ANSWERS if known is None else len(known))
        super().__init__(VQANetwork(**network, num_answers=self.num_answers), **kwargs)
        self.answers = known

    def outputs(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Logits (B, num_answers)."""
        return self.network.logits(self.normalize(inputs["image"]), inputs["tokens"], inputs["padding_mask"])

    def losses(self, inputs: Mapping[str, Tensor], data_samples: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """``loss_vqa``, and ``score``: how right (0 to 1) the first choices are.

        Raises:
            UserError: if samples have no targets, or ones that the model doesn't know.
        """
        logits = self.outputs(inputs)
        targets = self._targets(data_samples, logits)
        loss = F.binary_cross_entropy_with_logits(logits, targets) * self.num_answers
        score = targets.gather(1, logits.detach().argmax(dim=1, keepdim=True)).mean()
        return {"loss_vqa": loss, "score": score}

    @torch.no_grad()
    def predict(self, inputs: Mapping[str, Tensor], data_samples: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Add ``pred_label`` (1,), ``pred_score`` (num_answers,), sigmoids, and ``pred_answer`` if ``answers`` are known."""
        predicted = add_predictions(data_samples, self.outputs(inputs).sigmoid())
        if self.answers is not None:
            for sample in predicted:
                sample["pred_answer"] = self.answers[int(sample["pred_label"])]
        return predicted

    def _targets(self, data_samples: Sequence[Mapping[str, Any]], logits: Tensor) -> Tensor:
        """Soft targets (B, num_answers), of the type and on the device of the logits."""
        device = logits.device
        if any("labels" not in sample or "scores" not in sample for sample in data_samples):
            raise UserError(
                "samples have no labels and scores, which training needs: use a split whose annotations tell answers"
            )
        labels = torch.cat([sample["labels"] for sample in data_samples]).to(device)
        scores = torch.cat([sample["scores"] for sample in data_samples]).to(device)
        if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < self.num_answers:
            raise UserError(
                f"labels go from {int(labels.min())} to {int(labels.max())}, but the model has {self.num_answers} answers, "
                "from 0: give model and dataset the same list of answers"
            )
        rows = [row for row, sample in enumerate(data_samples) for _ in range(len(sample["labels"]))]
        targets = logits.new_zeros(len(data_samples), self.num_answers)
        targets[torch.tensor(rows, dtype=torch.int64, device=device), labels] = scores.to(logits.dtype)
        return targets
