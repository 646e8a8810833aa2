"""Inferencer for image classification, with the classes of the training or any classes given by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmengine.config import Config, ConfigDict

from mmbeit3.checkpoint import read_classes
from mmbeit3.datasets.checks.trained import check_trained_classes
from mmbeit3.datasets.metainfo import read_metainfo
from mmbeit3.errors import UserError
from mmbeit3.inference.base import InferOptions, TaskInferencer, open_config, top_labels
from mmbeit3.inference.images import ImagesInput, is_folder, list_images, name_image
from mmbeit3.inference.pipeline import Query, find_tokenizer
from mmbeit3.tasks.classification import BEiT3Classification
from mmbeit3.tasks.zero_shot import BEiT3ZeroShotClassification, check_templates
from mmbeit3.text.names import read_names

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["ClassificationInferencer"]


class ClassificationInferencer(TaskInferencer):
    """Classes of images.

    A config of :class:`~mmbeit3.tasks.zero_shot.BEiT3ZeroShotClassification` or
    :class:`~mmbeit3.tasks.retrieval.BEiT3Retrieval` works with any class names. A config of
    :class:`~mmbeit3.tasks.classification.BEiT3Classification` has fixed classes.

    Args:
        model, weights, device, show_progress: see :class:`~mmbeit3.inference.TaskInferencer`.
        class_names: the class names, or a file of them, see :func:`~mmbeit3.text.names.read_names`. Default: the names in the
            config's model or, for fixed classes, in its test dataset; if there are none, results have labels only.
        templates: strings with ``{}`` in the place of the class name, for models that read names; default those of the config,
            or the name alone.

    Raises:
        UserError: as :class:`~mmbeit3.inference.TaskInferencer`, or if class names are missing, or names for fixed classes have
            the wrong number or order.
    """

    models = (BEiT3Classification, BEiT3ZeroShotClassification)
    reads_text = False

    def __init__(
        self,
        model: str | Path | Config | Mapping[str, Any],
        weights: str | Path,
        device: str | None = None,
        class_names: str | Path | Sequence[str] | None = None,
        templates: Sequence[str] | None = None,
        show_progress: bool = True,
    ) -> None:
        cfg = open_config(model)
        names = None if class_names is None else read_names(class_names, "class_names")
        kind = str(cfg.model.get("type")).split(".")[-1]
        if kind in ("BEiT3Retrieval", "BEiT3ZeroShotClassification"):
            cfg.model = _zero_shot_model(cfg, names, templates)
        elif templates is not None:
            raise UserError(
                f"templates are for models that read class names, but {kind} has fixed classes: leave templates out"
            )
        super().__init__(cfg, weights, device, show_progress)
        self.class_names = (
            self._fixed_names(names, weights) if isinstance(self.model, BEiT3Classification) else self.model.class_names
        )

    def __call__(
        self,
        images: ImagesInput,
        *,
        top_k: int = 5,
        **options: Unpack[InferOptions],
    ) -> dict[str, Any]:
        """Classify images.

        Args:
            images: one or several images, or a folder; see :func:`~mmbeit3.images.read_pixels`.
            top_k: number of classes to list.
            **options: see :class:`~mmbeit3.inference.base.InferOptions`.

        Returns:
            The dict of :meth:`~mmbeit3.inference.TaskInferencer.infer`. Each of ``predictions`` has ``image``, ``pred_label``,
            ``pred_class`` (the class name, or None), ``pred_score`` (the probability), and ``top``, the ``top_k`` most likely
            classes.

        Raises:
            UserError: if an image cannot be read.
        """
        queries = [Query((image,)) for image in list_images(images)]
        postprocess = partial(self.postprocess, top_k=top_k)
        return self.infer(queries, postprocess, skip_unreadable=is_folder(images), **options)

    def postprocess(self, query: Query, result: Mapping[str, Any], top_k: int = 5) -> dict[str, Any]:
        """Convert a query and its result to a prediction, see :meth:`__call__`."""
        top = top_labels(result["pred_score"], self.class_names, top_k)
        return {
            "image": name_image(query.images[0]),
            "pred_label": top[0]["label"],
            "pred_class": top[0].get("name"),
            "pred_score": top[0]["score"],
            "top": top,
        }

    def lines(self, prediction: Mapping[str, Any]) -> list[str]:
        """Return the most likely classes with their probabilities."""
        return [f"{each.get('name', each['label'])} ({each['score']:.2f})" for each in prediction["top"]]

    def _fixed_names(self, names: Sequence[str] | None, weights: str | Path) -> Sequence[str] | None:
        """Return the names of fixed classes, checked against the classes in the checkpoint or, without them, in the config."""
        dataset = (self.cfg.get("test_dataloader") or {}).get("dataset") or {}
        configured = read_metainfo(dataset, self.cfg.get("default_scope")).get("classes") if "type" in dataset else None
        if names is None and configured is not None:
            check_trained_classes(self.cfg, weights)
        given = configured if names is None else names
        count = self.model.network.num_classes
        if given is None:
            return None
        if len(given) != count:
            raise UserError(f"there are {len(given)} class names, but the model has {count} classes: give one name per class")
        known = read_classes(weights) or configured
        if known is not None and sorted(known) == sorted(given) and list(known) != list(given):
            index = next(i for i, (a, b) in enumerate(zip(known, given, strict=True)) if a != b)
            raise UserError(
                f"class_names are the model's classes in another order: name {index} is '{given[index]}', but class {index} of "
                f"the model is '{known[index]}': leave class_names out, or give them in the order of the model"
            )
        return given


def _zero_shot_model(cfg: Config, names: Sequence[str] | None, templates: Sequence[str] | None) -> ConfigDict:
    """Return the model config of a dual encoder as that of a zero-shot classifier."""
    model = ConfigDict(cfg.model, type="mmbeit3.BEiT3ZeroShotClassification")
    if names is not None:
        model.class_names = names
    if templates is not None:
        model.templates = list(check_templates(templates))
    if "class_names" not in model:
        raise UserError("a retrieval model has no classes: give class_names, a list of names or a file of them")
    if "tokenizer" not in model:
        tokenizer = find_tokenizer(cfg)
        if tokenizer is None:
            raise UserError("class names need a tokenizer, but the test pipeline of the config has no EncodeText: add it")
        model.tokenizer = tokenizer
    return model
