"""Classes of images: those that a model was trained for, or any that are named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict

from mmbeit3.checkpoint import read_classes
from mmbeit3.datasets.checks.trained import check_trained_classes
from mmbeit3.datasets.metainfo import read_metainfo
from mmbeit3.errors import UserError
from mmbeit3.images import ImageInput
from mmbeit3.inference.base import TaskInferencer, open_config, top_labels
from mmbeit3.inference.images import is_folder, list_images, name_image
from mmbeit3.inference.pipeline import Query, find_tokenizer
from mmbeit3.tasks.classification import BEiT3Classification
from mmbeit3.tasks.zero_shot import BEiT3NamedClassification, check_templates
from mmbeit3.text.names import read_names

__all__ = ["ClassificationInferencer"]


class ClassificationInferencer(TaskInferencer):
    """Tells images' classes.

    A config of :class:`~mmbeit3.tasks.zero_shot.BEiT3NamedClassification` or :class:`~mmbeit3.tasks.retrieval.BEiT3Retrieval`
    goes with any class names; one of :class:`~mmbeit3.tasks.classification.BEiT3Classification` has its own classes.

    Args:
        model, weights, device, show_progress: see :class:`~mmbeit3.inference.TaskInferencer`.
        class_names: the classes by name, or a file of them, see :func:`~mmbeit3.text.names.read_names`. By default those of
            the config's model or, where its classes are fixed, of its test dataset; if that has none, results have no names.
        templates: texts with ``{}`` in the place of a name, where a model reads names; default the config's, or the name alone.

    Raises:
        UserError: also if class names are missing; or, where a model's classes are fixed, are not as many or in another order.
    """

    models = (BEiT3Classification, BEiT3NamedClassification)
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
        if kind in ("BEiT3Retrieval", "BEiT3NamedClassification"):
            cfg.model = _by_name(cfg, names, templates)
        elif templates is not None:
            raise UserError(
                f"templates are for models that read class names, and {kind} has classes of its own: leave them out"
            )
        super().__init__(cfg, weights, device, show_progress)
        self.class_names = (
            self._fixed_names(names, weights) if isinstance(self.model, BEiT3Classification) else self.model.class_names
        )

    def __call__(
        self,
        images: ImageInput | Sequence[ImageInput],
        batch_size: int = 1,
        return_vis: bool = False,
        out_dir: str | Path | None = None,
        show_progress: bool | None = None,
        top_k: int = 5,
    ) -> dict[str, Any]:
        """Classify images.

        Args:
            images: one or several, or a folder; see :func:`~mmbeit3.images.read_pixels`.
            batch_size, return_vis, out_dir, show_progress: see :meth:`~mmbeit3.inference.TaskInferencer.infer`.
            top_k: how many classes to list.

        Returns:
            ``predictions``, dicts of ``image``, ``pred_label``, ``pred_class`` (its name, or None), ``pred_score``, its
            probability, and ``top``, the ``top_k`` likeliest classes; and ``visualization``.

        Raises:
            UserError: if an image cannot be read.
        """
        queries = [Query((image,)) for image in list_images(images)]
        leave_out = is_folder(images)
        return self.infer(
            queries, partial(self.postprocess, top_k=top_k), batch_size, return_vis, out_dir, show_progress, leave_out
        )

    def postprocess(self, query: Query, result: Mapping[str, Any], top_k: int = 5) -> dict[str, Any]:
        """See :meth:`__call__`."""
        top = top_labels(result["pred_score"], self.class_names, top_k)
        return {
            "image": name_image(query.images[0]),
            "pred_label": top[0]["label"],
            "pred_class": top[0].get("name"),
            "pred_score": top[0]["score"],
            "top": top,
        }

    def lines(self, prediction: Mapping[str, Any]) -> list[str]:
        """The likeliest classes with their probabilities."""
        return [f"{each.get('name', each['label'])} ({each['score']:.2f})" for each in prediction["top"]]

    def _fixed_names(self, names: Sequence[str] | None, weights: str | Path) -> Sequence[str] | None:
        """The names of classes that are the model's own, checked against those that the checkpoint or else the config has."""
        dataset = (self.cfg.get("test_dataloader") or {}).get("dataset") or {}
        configured = read_metainfo(dataset, self.cfg.get("default_scope")).get("classes") if "type" in dataset else None
        if names is None and configured is not None:
            check_trained_classes(self.cfg, weights)
        given = configured if names is None else names
        count = self.model.network.num_classes
        if given is None:
            return None
        if len(given) != count:
            raise UserError(f"there are {len(given)} class names, but the model has {count} classes: give a name for each")
        known = read_classes(weights) or configured
        if known is not None and sorted(known) == sorted(given) and list(known) != list(given):
            place = next(i for i, (a, b) in enumerate(zip(known, given, strict=True)) if a != b)
            raise UserError(
                f"class_names are those that the model was trained for in another order: name {place} is '{given[place]}', and "
                f"its class {place} '{known[place]}': leave class_names out, or give them in its order"
            )
        return given


def _by_name(cfg: Config, names: Sequence[str] | None, templates: Sequence[str] | None) -> ConfigDict:
    """The dual encoder's config as one of a model that reads class names."""
    model = ConfigDict(cfg.model, type="mmbeit3.BEiT3NamedClassification")
    if names is not None:
        model.class_names = names
    if templates is not None:
        model.templates = list(check_templates(templates))
    if "class_names" not in model:
        raise UserError("a retrieval model has no classes of its own: give class_names, a list or a file of them")
    if "tokenizer" not in model:
        tokenizer = find_tokenizer(cfg)
        if tokenizer is None:
            raise UserError("class names need a tokenizer, but the test pipeline of the config has no EncodeText: add it")
        model.tokenizer = tokenizer
    return model
