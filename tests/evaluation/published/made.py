"""Make an index of models of the shapes configs with random weights, and data for them."""

import json

import torch
import yaml
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from mmbeit3 import zoo
from mmbeit3.datasets.shapes import make_shapes_dataset
from tests.paths import ROOT

SEGMENTOR = ROOT / "configs" / "shapes" / "beit3-adapter-t_mask2former_shapes.py"
OPTIONS = ["test_dataloader.num_workers=0", "test_dataloader.persistent_workers=False"]


def make_weights(config, path, seed=0):
    """Write random weights of a config's model."""
    cfg = Config.fromfile(config)
    init_default_scope(cfg.default_scope)
    torch.manual_seed(seed)
    model = MODELS.build(cfg.model)
    if "decode_head" in cfg.model:
        # With the default initialisation, all pixels of a picture would have one class.
        torch.nn.init.normal_(model.decode_head.cls_embed.weight)
        torch.nn.init.normal_(model.decode_head.query_feat.weight, std=3.0)
    torch.save({"state_dict": model.state_dict()}, path)
    return path


def model(name, weights, config=SEGMENTOR, dataset="shapes", metrics=None):
    """Return the entry of a model in an index."""
    result = {"Task": "any", "Dataset": dataset, "Metrics": metrics or {"mIoU": 50.0}}
    return {"Name": name, "In Collection": "made", "Config": str(config), "Results": [result], "Weights": str(weights)}


def make_model(name, config=ROOT, weights=None, **published):
    """A model of an index with metrics as keywords; each maps names of datasets to values."""
    results = tuple(zoo.Result(data, {metric: value}) for metric, on in published.items() for data, value in on.items())
    return zoo.Model(name, config=str(config), local_weights=weights, results=results)


def write_index(path, *models):
    path.write_text(yaml.safe_dump({"Models": list(models)}))
    return path


def make_segmentors(folder, count):
    """Make data and an index of segmentors with different weights; return the data folder and the index."""
    data = make_shapes_dataset(folder / "shapes", train=1, val=2, size=64) / "ade"
    weights = [make_weights(SEGMENTOR, folder / f"{seed}.pth", seed) for seed in range(count)]
    return data, write_index(folder / "index.yml", *(model(f"seed-{path.stem}", path.name) for path in weights))


def read_lines(out):
    """Return the lines of the journal in a folder."""
    return [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]


def without_cost(table):
    """Return the cells of a Markdown table without the last two columns, time and memory."""
    return [line.split("|")[:-3] for line in table.splitlines()]
