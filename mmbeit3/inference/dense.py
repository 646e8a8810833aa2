"""Predicting on single images with a trained detector or segmentor."""

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
from mmbeit3.ops import replace_linears
from mmbeit3.runner.config import read_config
from mmbeit3.visualization.fonts import names_for_matplotlib, names_for_opencv

__all__ = ["build_visualizer", "draw_prediction", "draw_predictions", "load_model"]


def load_model(config: str | Path, checkpoint: str | Path, device: str = "cpu") -> tuple[BaseModel, Config]:
    """Build a model from its config file and fill it from a checkpoint. Nothing inside the checkpoint is run.

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
        raise UserError(f"config '{config}' cannot be built: {one_line(error)}") from error
    check_trained_classes(cfg, checkpoint)
    load_checkpoint(model, checkpoint, strict=True)
    replace_linears(model)
    return model.to(device).eval(), cfg


def build_visualizer(cfg: Config, dataset: ConfigDict) -> Visualizer:
    """Build the visualizer of a config, with names that it can draw, and colours also where the config names none.

    Args:
        cfg: the config.
        dataset: config of the dataset that names and colours are of; its files are not looked at.
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
        model: from :func:`load_model`.
        cfg: its config.
        folder: where the images are.
        out: folder for the pictures. Their names are those of the images, with ``.png`` behind.
        score: least score of boxes and masks that are drawn.

    Yields:
        Each image, when it is done, and what is wrong with it if it cannot be read.

    Raises:
        UserError: if there are no images, or the pictures would lie among them.
    """
    folder, out = Path(folder), Path(out)
    if out.resolve().is_relative_to(folder.resolve()):
        raise UserError(f"pictures in '{out}' would lie among the images of '{folder}': give another folder")
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
        model: from :func:`load_model`.
        cfg: its config.
        image: as :func:`~mmbeit3.images.read_pixels` takes it.
        out: picture to write.
        score: least score of boxes and masks that are drawn.

    Raises:
        UserError: if the image cannot be read, or is where the picture should go.
    """
    if isinstance(image, str | Path):
        refuse_overwriting(out, image)
    pixels = read_pixels(image)
    dataset = cfg.test_dataloader.dataset
    while "dataset" in dataset:
        dataset = dataset.dataset
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
