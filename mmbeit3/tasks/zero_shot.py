"""Zero-shot classification: predict the class whose name, as a text, is closest to the image (arXiv 2208.10442, section 3)."""

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

__all__ = ["BEiT3ZeroShotClassification", "check_templates"]


def check_templates(templates: Sequence[str]) -> tuple[str, ...]:
    """Check that there are templates, and that each has exactly one ``{}`` as the placeholder of the class name.

    Returns:
        The templates as a tuple.

    Raises:
        UserError: if there is no template, or one is malformed; the message names the first one.
    """
    if isinstance(templates, str):
        raise UserError(f"templates is a string, {templates!r}, but must be a list of strings: write [{templates!r}]")
    if not templates:
        raise UserError("templates is an empty list: give at least one, such as '{}' for the class name alone")
    for template in templates:
        if not isinstance(template, str):
            raise UserError(f"template {template!r} is not a string: give strings with {{}} in the place of the class name")
        try:
            fields = [part[1:] for part in Formatter().parse(template) if part[1] is not None]
        except ValueError as error:
            raise UserError(
                f"template {template!r} cannot be parsed ({error}): write {{{{ and }}}} for literal braces"
            ) from error
        if not fields:
            raise UserError(f"template {template!r} has no {{}}: write it in the place of the class name")
        if fields != [("", "", None)]:
            raise UserError(
                f"template {template!r} has other fields than one {{}}: write exactly one {{}}, in the place of the class name"
            )
    return tuple(templates)


_CHUNK = 256
"""Number of classes encoded at once for predictions, to bound memory."""


@MODELS.register_module()
class BEiT3ZeroShotClassification(TaskModel):
    """Dual encoder that classifies by class names: zero-shot, or fine-tuned on images and the names of their classes.

    It has no weights beyond those of the dual encoder, so it classifies without training. The paper treats ImageNet as
    retrieval of a class name by an image: it fine-tunes a dual encoder and predicts the name with the highest cosine
    similarity. The label smoothing of 0.1 is the paper's.

    The paper does not say which texts an image is compared with in training, nor how a name becomes a text. This class uses a
    cross-entropy over all classes, because predictions compare all classes and a batch may contain a class twice, and the
    plain name. The input is normalised with mean and std 0.5, as in the contrastive tuning of the released weights.

    Args:
        network: arguments of :class:`~mmbeit3.models.beit3.DualEncoder`.
        class_names: the names in the order of their labels, or a file of them, see :func:`~mmbeit3.text.names.read_names`. If
            two classes have the same text, the first one is predicted.
        tokenizer: file of the text tokenizer.
        templates: strings with ``{}`` in the place of the name; the feature of a class is the normalised mean over them.
        max_length: largest number of tokens of a text, ``<s>`` and ``</s>`` included; longer texts are cut. Default: the number
            of the network's text positions.
        candidates: number of classes that an image is compared with in training: the classes of the batch, and others drawn at
            random in each step. Default: all classes, which encodes all names in each step.
        label_smoothing: fraction (0 to 1) of the target that is spread over the candidates.
        **kwargs: further arguments of :class:`~mmbeit3.tasks.base.TaskModel`.

    Raises:
        UserError: if names or tokenizer cannot be read, a template is malformed, or the network's embedding tables are too
            small for the tokenizer or ``max_length``.
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
                f"tokenizer '{tokenizer}' has {encoder.vocab_size} ids, but the network has only {arch.vocab_size} rows "
                "(vocab_size): give the tokenizer that the network was trained with"
            )
        usable = arch.max_text_positions - UNUSED_POSITIONS
        if max_length is not None and max_length > usable:
            raise UserError(f"max_length is {max_length}, but the network has {usable} text positions: lower max_length")
        texts = [template.format(name) for name in self.class_names for template in self.templates]
        report_unknown(encoder, texts, "texts of class names")
        tokens, padding_mask = encoder.batch(texts, max_length or usable)
        shape = len(self.class_names), len(self.templates), -1
        self.register_buffer("tokens", tokens.view(shape), persistent=False)
        self.register_buffer("padding_mask", padding_mask.view(shape), persistent=False)
        self._cached_features: tuple[list[int], Tensor] | None = None

    def train(self, mode: bool = True) -> BEiT3ZeroShotClassification:
        """Set the training mode and clear the cached features of the class names."""
        self._cached_features = None
        super().train(mode)
        return self

    def outputs(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return the logits (B, classes): cosine similarities divided by the temperature."""
        return self._similarity(self.network.encode_image(self.normalize(inputs["image"])), self.class_features())

    def losses(self, inputs: Mapping[str, Tensor], data_samples: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """Return ``loss_cls``, the cross-entropy over the candidates, ``accuracy`` among them (0 to 1), and ``temperature``.

        Raises:
            UserError: if a sample has no label, or a label outside of the classes.
        """
        labels = read_labels(data_samples, len(self.class_names), inputs["image"].device)
        classes, targets = self._draw_candidates(labels)
        tokens, padding_mask = self.tokens[classes].flatten(0, 1), self.padding_mask[classes].flatten(0, 1)
        images, texts = self.network.features(self.normalize(inputs["image"]), tokens, padding_mask)
        logits = self._similarity(images, self._average_templates(texts))
        loss = F.cross_entropy(logits, targets, label_smoothing=self.label_smoothing)
        temperature = 1 / self.network.logit_scale.detach().exp()
        return {"loss_cls": loss, "accuracy": accuracy(logits, targets), "temperature": temperature}

    @torch.no_grad()
    def predict(self, inputs: Mapping[str, Tensor], data_samples: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Add ``pred_label`` (1,) and ``pred_score`` (classes,), the probabilities, to the samples."""
        return add_predictions(data_samples, self.outputs(inputs).softmax(dim=-1))

    @torch.no_grad()
    def class_features(self) -> Tensor:
        """Return the unit vectors of all classes (classes, C); they are cached until the weights change."""
        # In-place updates raise a parameter's version. An assignment to its data (as with averaged weights) does not, but
        # MMEngine calls train() or eval() after it, which clears the cache.
        versions = [parameter._version for parameter in self.network.parameters()]
        cached = self._cached_features
        if cached is None or cached[0] != versions or cached[1].device != self.tokens.device:
            parts = [
                self._average_templates(self.network.encode_text(tokens.flatten(0, 1), padding_mask.flatten(0, 1)))
                for tokens, padding_mask in zip(self.tokens.split(_CHUNK), self.padding_mask.split(_CHUNK), strict=True)
            ]
            cached = self._cached_features = versions, torch.cat(parts)
        return cached[1]

    def _average_templates(self, texts: Tensor) -> Tensor:
        """Return class features (classes, C) from the features of their texts (classes * templates, C)."""
        return F.normalize(texts.unflatten(0, (-1, len(self.templates))).mean(dim=1), dim=-1)

    def _similarity(self, images: Tensor, classes: Tensor) -> Tensor:
        # Autocast would run the product in half precision.
        with torch.autocast(images.device.type, enabled=False):
            return widened(self.network.logit_scale).exp() * images @ classes.t()

    def _draw_candidates(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the classes to compare with, ascending, and for each label (B,) its index among them."""
        total = len(self.class_names)
        if self.candidates is None or self.candidates >= total:
            return torch.arange(total, device=labels.device), labels
        # The smallest of the random numbers are chosen; -1 makes sure that the labels are among them.
        order = torch.rand(total, device=labels.device)
        order[labels] = -1
        count = max(self.candidates, len(labels.unique()))
        classes = order.topk(count, largest=False).indices.sort().values
        return classes, torch.searchsorted(classes, labels)
