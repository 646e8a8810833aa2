"""All tabs of the demo page with small untrained models."""

import torch
from mmengine.registry import MODELS, init_default_scope

from mmbeit3.runner.config import read_config
from mmbeit3.web.tasks import TASKS
from tests.inference.made import checkpoint, config
from tests.paths import ROOT

DETECTOR = ROOT / "configs" / "shapes" / "mask-rcnn_beit3-adapter-t_shapes.py"
SEGMENTOR = ROOT / "configs" / "shapes" / "beit3-adapter-t_mask2former_shapes.py"
ANSWERS = ["red", "other 0", "other 1"]


def make_arguments(folder, tokenizer, images):
    """Return the arguments of each tab: paths of config and checkpoint, and for retrieval a folder of images."""
    configs = {
        "vqa": config({"type": "mmbeit3.BEiT3VQA", "answers": ANSWERS}, tokenizer, key="question"),
        "caption": config({"type": "mmbeit3.BEiT3Captioning", "tokenizer": tokenizer, "max_length": 8}, tokenizer, key=None),
        "retrieval": config({"type": "mmbeit3.BEiT3Retrieval"}, tokenizer),
        "nlvr2": config({"type": "mmbeit3.BEiT3NLVR2"}, tokenizer, key="sentence"),
        "classify": config(
            {"type": "mmbeit3.BEiT3ZeroShotClassification", "class_names": ["red box", "blue circle"], "tokenizer": tokenizer},
            tokenizer,
            key=None,
        ),
    }
    arguments = {}
    for task, cfg in configs.items():
        path = folder / f"{task}.py"
        cfg.dump(path)
        arguments[task] = [str(path), str(checkpoint(cfg, folder / f"{task}.pth"))]
    for task, path in (("detection", DETECTOR), ("segmentation", SEGMENTOR)):
        arguments[task] = [str(path), str(_dense_checkpoint(read_config(path), folder / f"{task}.pth"))]
    arguments["retrieval"].append(str(images[0].parent))
    return {task: arguments[task] for task in TASKS}


def _dense_checkpoint(cfg, path):
    torch.manual_seed(0)
    init_default_scope(cfg.default_scope)
    torch.save({"state_dict": MODELS.build(cfg.model).state_dict()}, path)
    return path
