"""Run a trained detector or segmentor on images and draw the predictions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mmengine.config import Config, ConfigDict
from mmengine.dataset import Compose, pseudo_collate
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, MODELS, TRANSFORMS, VISUALIZERS, init_default_scope
from mmengine.visualization import Visualizer
from torch import no_grad

from mmbeit3.checkpoint import load_checkpoint
from mmbeit3.datasets.checks.trained import check_trained_classes
from mmbeit3.errors import UserError, one_line
from mmbeit3.files import refuse_overwriting
from mmbeit3.images import ImageInput, find_images, read_image, read_pixels
from mmbeit3.ops import replace_layers
from mmbeit3.runner.config import read_config
from mmbeit3.visualization.fonts import names_for_matplotlib, names_for_opencv

__all__ = ["build_visualizer", "draw_prediction", "draw_predictions", "load_model"]


def load_model(config: str | Path, checkpoint: str | Path, device: str = "cpu") -> tuple[BaseModel, Config]:
    """Build a model from its config file and load a checkpoint. No code inside the checkpoint is executed.

    Args:
        config: config file.
        checkpoint: checkpoint of this model.
        device: device such as ``'cuda:0'``.

    Returns:
        The model in evaluation mode, and its config.

    Raises:
        UserError: if config or checkpoint cannot be used.
    """
    cfg = read_config(config)
    init_default_scope(cfg.get("default_scope", "mmengine"))
    try:
        model = MODELS.build(cfg.model)
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"the model of config '{config}' cannot be built: {one_line(error)}") from error
    check_trained_classes(cfg, checkpoint)
    load_checkpoint(model, checkpoint, strict=True)
    replace_layers(model)
    return model.to(device).eval(), cfg


def build_visualizer(cfg: Config, dataset: ConfigDict) -> Visualizer:
    """Build the visualizer of a config with the class names and colours of a dataset.

    Letters that the visualizer cannot draw are replaced in the class names.

    Args:
        cfg: the config.
        dataset: config of the dataset; its files are not read.
    """
    visualizer = VISUALIZERS.build({**cfg.visualizer, "vis_backends": []})
    meta = dict(DATASETS.build({**dataset, "lazy_init": True, "pipeline": []}).metainfo)
    drawable = names_for_matplotlib if cfg.default_scope == "mmdet" else names_for_opencv
    for key in ("classes", "thing_classes", "stuff_classes"):
        if meta.get(key) is not None:
            meta[key] = tuple(drawable(meta[key]))
    visualizer.dataset_meta = meta
    return visualizer


def draw_predictions(
    model: BaseModel, cfg: Config, folder: str | Path, out: str | Path, score: float = 0.5
) -> Iterator[tuple[Path, UserError | None]]:
    """Predict on the images of a folder, see :func:`~mmbeit3.images.find_images`, and write a picture of each.

    Args:
        model: model from :func:`load_model`.
        cfg: config of the model.
        folder: folder of the images.
        out: folder for the pictures. Their names are the names of the images with ``.png`` appended.
        score: smallest score of the boxes and masks to draw.

    Yields:
        The path of each image when it is done, and the error if it cannot be read, else None.

    Raises:
        UserError: if there are no images, or ``out`` is inside of ``folder``.
    """
    folder, out = Path(folder), Path(out)
    if out.resolve().is_relative_to(folder.resolve()):
        raise UserError(f"output folder '{out}' is inside of the image folder '{folder}': give another folder")
    for path in find_images(folder):
        try:
            pixels = read_image(path)
        except UserError as error:
            yield path, error
            continue
        target = out / path.relative_to(folder)
        draw_prediction(model, cfg, pixels, target.with_name(f"{target.name}.png"), score)
        yield path, None


def draw_prediction(model: BaseModel, cfg: Config, image: ImageInput, out: str | Path, score: float = 0.5) -> None:
    """Predict on an image and write a picture of the result.

    Args:
        model: model from :func:`load_model`.
        cfg: config of the model.
        image: any image that :func:`~mmbeit3.images.read_pixels` accepts.
        out: picture to write.
        score: smallest score of the boxes and masks to draw.

    Raises:
        UserError: if the image cannot be read, or ``out`` is the image itself.
    """
    if isinstance(image, str | Path):
        refuse_overwriting(out, image)
    pixels = read_pixels(image)
    # The innermost of nested dataset wrappers has the pipeline.
    dataset = cfg.test_dataloader.dataset
    while "dataset" in dataset:
        dataset = dataset.dataset
    # The image is already read: skip the transforms that load images and annotations.
    steps = [step for step in dataset.pipeline if not step.type.split(".")[-1].startswith("Load")]
    data = {
        "img": pixels,
        "img_path": str(image) if isinstance(image, str | Path) else "",
        "img_id": 0,
        "img_shape": pixels.shape[:2],
        "ori_shape": pixels.shape[:2],
    }
    batch = pseudo_collate([Compose([TRANSFORMS.build(step) for step in steps])(data)])
    with no_grad():
        sample = model.test_step(batch)[0].cpu()
    visualizer = build_visualizer(cfg, dataset)
    options = {"pred_score_thr": score} if cfg.default_scope == "mmdet" else {}
    visualizer.add_datasample(
        "image", pixels[..., ::-1].copy(), sample, draw_gt=False, show=False, out_file=str(out), **options
    )
