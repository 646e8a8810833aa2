"""Classification by the classes' names: which of them, as a text, is closest to the image (arXiv 2208.10442, section 3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Formatter
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from mmbeit3.errors import UserError
from mmbeit3.models.beit3 import UNUSED_POSITIONS, DualEncoder
from mmbeit3.ops import widened
from mmbeit3.registry import MODELS
from mmbeit3.tasks.base import TaskModel
from mmbeit3.tasks.labels import accuracy, add_predictions, read_labels
from mmbeit3.text.names import read_names
from mmbeit3.text.tokenizer import TextTokenizer, report_unknown

__all__ = ["BEiT3NamedClassification", "check_templates"]


def check_templates(templates: Sequence[str]) -> tuple[str, ...]:
    """Check that each template has one ``{}``, where the class's name belongs.

    Raises:
        UserError: naming the first that has not, or if there are none.
    """
    if isinstance(templates, str):
        raise UserError(f"templates are one text, {templates!r}, and should be a list of texts: write [{templates!r}]")
    if not templates:
        raise UserError("templates are an empty list: give at least one, such as '{}', the name alone")
    for template in templates:
        if not isinstance(template, str):
            raise UserError(f"template {template!r} is no text: give texts with {{}} where the class's name belongs")
        try:
            fields = [part[1:] for part in Formatter().parse(template) if part[1] is not None]
        except ValueError as error:
            raise UserError(f"template {template!r} cannot be read ({error}): write {{{{ and }}}} for braces") from error
        if not fields:
            raise UserError(f"template {template!r} has no {{}} where the class's name belongs")
        if fields != [("", "", None)]:
            raise UserError(f"template {template!r} has other fields than one {{}}, where the class's name belongs")
    return tuple(templates)


_CHUNK = 256
"""Classes that are encoded at once for predictions, to bound memory."""


@MODELS.register_module()
class BEiT3NamedClassification(TaskModel):
    """The dual encoder with class names as its texts; needs no new weights, so it classifies without any training, too.

    The paper treats ImageNet as retrieval of a class name by an image: a dual encoder is fine-tuned on images and the names of
    their classes, and the name of the greatest cosine is predicted. Its label smoothing of 0.1 is the default here. It doesn't
    say what an image is compared with in training, nor how a name becomes a text. Chosen: a cross-entropy over all classes,
    which is what predictions are made from, and not over the batch, where a class may come twice; and the plain name. The input
    is normalised by 0.5, as when the towers were tuned contrastively.

    Args:
        network: arguments of :class:`~mmbeit3.models.beit3.DualEncoder`.
        class_names: the names in the order of their labels, or a file of them, see :func:`~mmbeit3.text.names.read_names`. Of
            two classes of one name, the first is predicted.
        tokenizer: file of the text tokenizer.
        templates: texts with ``{}`` in the place of the name; a class's feature is the mean over them, of length one.
        max_length: most tokens of a text, the two around it included; the rest is cut off. Default: all positions there are.
        candidates: in training, how many classes an image is compared with: its own and those of the batch's other images, the
            rest drawn anew in each step. Default: all, which costs a pass over all names a step.
        label_smoothing: share (0 to 1) of a target that is spread over the candidates.
        **kwargs: those of :class:`~mmbeit3.tasks.base.TaskModel`.

    Raises:
        UserError: if names or tokenizer cannot be read, a template has not one ``{}``, or the network's tables are too small
            for the tokenizer or ``max_length``.
        ImportError: if sentencepiece is not installed.
    """

    network: DualEncoder
    tokens: Tensor
    padding_mask: Tensor

    def __init__(
        self,
        network: Mapping[str, Any],
        class_names: str | Path | Sequence[str],
        tokenizer: str | Path,
        templates: Sequence[str] = ("{}",),
        max_length: int | None = None,
        candidates: int | None = None,
        label_smoothing: float = 0.1,
        **kwargs: Any,
    ) -> None:
        super().__init__(DualEncoder(**network), **kwargs)
        self.class_names = read_names(class_names, "class_names")
        self.templates = check_templates(templates)
        self.candidates = candidates
        self.label_smoothing = label_smoothing
        arch, encoder = self.network.arch, TextTokenizer(tokenizer)
        if encoder.vocab_size > arch.vocab_size:
            raise UserError(
                f"tokenizer '{tokenizer}' has {encoder.vocab_size} ids, the network only {arch.vocab_size} rows (vocab_size): "
                "they don't belong together"
            )
        usable = arch.max_text_positions - UNUSED_POSITIONS
        if max_length is not None and max_length > usable:
            raise UserError(f"max_length {max_length} is more than the network's {usable} text positions: lower it")
        texts = [template.format(name) for name in self.class_names for template in self.templates]
        report_unknown(encoder, texts, "texts of class names")
        tokens, padding_mask = encoder.batch(texts, max_length or usable)
        shape = len(self.class_names), len(self.templates), -1
        self.register_buffer("tokens", tokens.view(shape), persistent=False)
        self.register_buffer("padding_mask", padding_mask.view(shape), persistent=False)
        self._kept: tuple[list[int], Tensor] | None = None

    def train(self, mode: bool = True) -> BEiT3NamedClassification:
        """Set the training mode; features of the names are computed anew when next needed."""
        self._kept = None
        super().train(mode)
        return self

    def outputs(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Logits (B, classes): cosines over the temperature."""
        return self._compare(self.network.encode_image(self.normalize(inputs["image"])), self.class_features())

    def losses(self, inputs: Mapping[str, Tensor], data_samples: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """``loss_cls``, cross-entropy over the candidates, ``accuracy`` among them (0 to 1) and ``temperature``.

        Raises:
            UserError: if samples have no label, or one that is no class.
        """
        labels = read_labels(data_samples, len(self.class_names), inputs["image"].device)
        classes, targets = self._candidates(labels)
        tokens, padding_mask = self.tokens[classes].flatten(0, 1), self.padding_mask[classes].flatten(0, 1)
        images, texts = self.network.features(self.normalize(inputs["image"]), tokens, padding_mask)
        logits = self._compare(images, self._mean(texts))
        loss = F.cross_entropy(logits, targets, label_smoothing=self.label_smoothing)
        temperature = 1 / self.network.logit_scale.detach().exp()
        return {"loss_cls": loss, "accuracy": accuracy(logits, targets), "temperature": temperature}

    @torch.no_grad()
    def predict(self, inputs: Mapping[str, Tensor], data_samples: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Add ``pred_label`` (1,) and ``pred_score`` (classes,), probabilities."""
        return add_predictions(data_samples, self.outputs(inputs).softmax(dim=-1))

    @torch.no_grad()
    def class_features(self) -> Tensor:
        """Unit vectors of all classes (classes, C), kept as long as the weights are the same."""
        # Assignments to a parameter's data, as of averaged weights, don't count as a version; train() and eval() follow them.
        versions = [parameter._version for parameter in self.network.parameters()]
        if self._kept is None or self._kept[0] != versions or self._kept[1].device != self.tokens.device:
            parts = [
                self._mean(self.network.encode_text(tokens.flatten(0, 1), padding_mask.flatten(0, 1)))
                for tokens, padding_mask in zip(self.tokens.split(_CHUNK), self.padding_mask.split(_CHUNK), strict=True)
            ]
            self._kept = versions, torch.cat(parts)
        return self._kept[1]

    def _mean(self, texts: Tensor) -> Tensor:
        """Features of classes from those of their texts, class by class."""
        return F.normalize(texts.unflatten(0, (-1, len(self.templates))).mean(dim=1), dim=-1)

    def _compare(self, images: Tensor, classes: Tensor) -> Tensor:
        # Autocast would multiply in half precision.
        with torch.autocast(images.device.type, enabled=False):
            return widened(self.network.logit_scale).exp() * images @ classes.t()

    def _candidates(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Classes to compare with, ascending, and where among them each label is."""
        total = len(self.class_names)
        if self.candidates is None or self.candidates >= total:
            return torch.arange(total, device=labels.device), labels
        order = torch.rand(total, device=labels.device)
        order[labels] = -1
        count = max(self.candidates, len(labels.unique()))
        classes = order.topk(count, largest=False).indices.sort().values
        return classes, torch.searchsorted(classes, labels)
