"""Evaluations to run: a model, its data, and everything else that decides its scores."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict

from mmbeit3.errors import UserError
from mmbeit3.evaluation.published.entries import published_on
from mmbeit3.evaluation.published.record import EvaluationRecord
from mmbeit3.runner.config import read_config
from mmbeit3.zoo import Model

__all__ = ["Job", "data_root_of", "hash_config", "parse_data_roots"]


@dataclass(frozen=True)
class Job:
    """An evaluation to run.

    Attributes:
        entry: the model.
        data_root: data folder; None for the folder in the config.
        split: split of the config to evaluate on, ``test`` or ``val``.
        seed: random seed.
        options: config settings to override, dotted names to values.
        corruption: corruption of the images, see :class:`~mmbeit3.datasets.corruption.Corrupt`; None for clean images.
        severity: severity of the corruption, from 1 to 5; 0 for clean images.
    """

    entry: Model
    data_root: str | None = None
    split: str = "test"
    seed: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)
    corruption: str | None = None
    severity: int = 0

    def record(self) -> EvaluationRecord:
        """Return a record of this job without results."""
        datasets = published_on(self.entry, self.split)
        return EvaluationRecord(
            name=self.entry.name,
            config=str(self.entry.config),
            weights=str(self.entry.weights),
            data_root=self.data_root,
            split=self.split,
            seed=self.seed,
            corruption=self.corruption,
            severity=self.severity,
            published={metric: self.entry.published[metric][name] for metric, name in datasets.items()},
            published_on=datasets,
        )

    def config(self, work_dir: str | Path) -> Config:
        """Return the config of the model with the data, seed and corruption of this job, for ``runner.test()``.

        Raises:
            UserError: if the config cannot be read or does not have the split.
        """
        cfg = read_config(self.entry.config, self.options, str(work_dir))
        for part in ("dataloader", "evaluator"):
            if not cfg.get(f"{self.split}_{part}"):
                raise UserError(f"config '{self.entry.config}' has no {self.split}_{part}: use another --split")
            cfg[f"test_{part}"] = cfg[f"{self.split}_{part}"]
        cfg.test_cfg = {"type": "TestLoop"}
        cfg.merge_from_dict({"load_from": None, "resume": False, "launcher": "none", "env_cfg.cudnn_benchmark": False})
        cfg.randomness = {"seed": self.seed}
        if self.data_root is not None:
            _replace_data_root(cfg, self.data_root)
        if self.corruption is not None:
            _insert_corruption(_innermost(cfg.test_dataloader.dataset).pipeline, self.corruption, self.severity, self.seed)
        return cfg


def hash_config(path: str | Path, options: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a config with its base configs and options merged, in hexadecimal digits."""
    content = read_config(path, options, "").to_dict()
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=repr).encode()).hexdigest()


def parse_data_roots(arguments: Sequence[str]) -> dict[str | None, str]:
    """Parse ``--data-root``: ``FOLDER`` for all data sets, ``DATASET=FOLDER`` for one.

    Returns:
        Data set to folder; the key None is for all other data sets.

    Raises:
        UserError: if a folder does not exist, or a data set has two folders.
    """
    roots: dict[str | None, str] = {}
    for argument in arguments:
        name, equals, path = argument.partition("=")
        dataset, folder = (name, path) if equals else (None, argument)
        if not Path(folder).is_dir():
            raise UserError(f"--data-root: '{folder}' is not a folder: give FOLDER, or DATASET=FOLDER")
        if dataset in roots:
            raise UserError(f"--data-root: two folders for {dataset or 'all data'}: give one DATASET=FOLDER per data set")
        roots[dataset] = folder
    return roots


def data_root_of(entry: Model, roots: Mapping[str | None, str]) -> str | None:
    """Return the data folder of a model: that of its data set, else that of all data; None for the folder in the config.

    The name ``COCO`` also matches ``COCO test-dev``.
    """
    datasets = [result.dataset for result in entry.results]
    for name, folder in roots.items():
        if name is not None and any(dataset == name or dataset.startswith(f"{name} ") for dataset in datasets):
            return folder
    return roots.get(None)


def _innermost(dataset: ConfigDict) -> ConfigDict:
    """Return the data set inside wrappers.

    Raises:
        UserError: if a wrapper holds several data sets.
    """
    while "dataset" in dataset:
        dataset = dataset.dataset
    if "datasets" in dataset:
        raise UserError("evaluation needs one dataset, but the dataset of the config has several parts: set one of them")
    return dataset


def _replace_data_root(cfg: Config, root: str) -> None:
    """Replace the data folder in all paths of a config: data, ground truth, word lists."""
    dataset = _innermost(cfg.test_dataloader.dataset)
    old = dataset.get("data_root")
    if old is None:
        dataset.data_root = root
        return
    for part in ("test_dataloader", "test_evaluator", "model"):
        cfg[part] = _replace_prefix(cfg[part], str(old).rstrip("/"), root.rstrip("/") or "/")


def _replace_prefix(value: Any, old: str, new: str) -> Any:
    """Return a nested value with the folder ``old`` at the start of its strings replaced by ``new``."""
    if isinstance(value, dict):
        return ConfigDict({key: _replace_prefix(part, old, new) for key, part in value.items()})
    if isinstance(value, list | tuple):
        return type(value)(_replace_prefix(part, old, new) for part in value)
    if isinstance(value, str) and (value.rstrip("/") == old or value.startswith(f"{old}/")):
        return new + value[len(old) :]
    return value


def _insert_corruption(pipeline: list[Any], corruption: str, severity: int, seed: int) -> None:
    """Insert the corruption after the transform that loads images.

    Raises:
        UserError: if no transform loads images.
    """
    step = ConfigDict(type="mmbeit3.Corrupt", corruption=corruption, severity=severity, seed=seed)
    for index, transform in enumerate(pipeline):
        if str(transform["type"]).split(".")[-1].startswith("LoadImage"):
            pipeline.insert(index + 1, step)
            return
        inner = transform.get("transforms")
        if isinstance(inner, list) and inner and isinstance(inner[0], dict):
            _insert_corruption(inner, corruption, severity, seed)
            return
    raise UserError(f"corruption {corruption} cannot be inserted: the pipeline of the config has no transform LoadImage...")
