"""Configs and checkpoints of small task models, like those of a training."""

import torch
from mmengine.config import Config
from mmengine.registry import MODELS

from tests.tasks.reference import SMALL

NETWORK = {"arch": SMALL}
LENGTH = 14


def config(model, tokenizer, key="text", images=1):
    """Return a config with a test pipeline for 32 pixels; ``images=2`` for image pairs."""
    image = [
        {"type": "mmbeit3.LoadImageOrGrey"},
        {"type": "Resize", "scale": (32, 32), "backend": "pillow", "interpolation": "bicubic"},
    ]
    if images == 2:
        image = [{"type": "mmpretrain.ApplyToList", "scatter_key": "img_path", "collate_keys": ["img"], "transforms": image}]
    text = [{"type": "mmbeit3.EncodeText", "tokenizer": tokenizer, "key": key, "max_length": LENGTH}] if key else []
    pipeline = [*image, *text, {"type": "mmbeit3.PackTask", "meta": ("identifier", "gt_label")}]
    dataset = {"type": "mmbeit3.Absent", "pipeline": pipeline}
    return Config(
        {"default_scope": "mmengine", "model": {"network": NETWORK, **model}, "test_dataloader": {"dataset": dataset}}
    )


def checkpoint(cfg, path, seed=5):
    """Write a checkpoint with larger random weights: outputs of freshly initialised towers hardly depend on their input."""
    torch.manual_seed(seed)
    model = MODELS.build(cfg.model)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.25)
    torch.save({"state_dict": model.state_dict()}, path)
    return path


def expected(cfg, path, batch):
    """Run the model of a config with its weights on a batch and return the samples with predictions."""
    model = MODELS.build(cfg.model).eval()
    model.load_state_dict(torch.load(path, weights_only=True)["state_dict"])
    count = len(next(iter(batch.values())))
    with torch.no_grad():
        return model(batch, [{}] * count, mode="predict")
