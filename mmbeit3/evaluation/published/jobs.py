"""What is to be evaluated: a model on data, with everything that decides its scores."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict

from mmbeit3.errors import UserError
from mmbeit3.evaluation.published.entries import Entry
from mmbeit3.evaluation.published.record import Record
from mmbeit3.runner.config import read_config

__all__ = ["Job", "data_root_of", "hash_config", "parse_data_roots"]


@dataclass(frozen=True)
class Job:
    """An evaluation to be made.

    Attributes:
        entry: the model.
        data_root: folder of its data; None for the config's own.
        split: whose data of the config to evaluate on, ``test`` or ``val``.
        seed: of all randomness.
        options: settings of the config to change, dotted names to values.
        corruption: what to do to the images, see :class:`~mmbeit3.datasets.corruption.Corrupt`; None for nothing.
        severity: how much of it, from 1 to 5; 0 for nothing.
    """

    entry: Entry
    data_root: str | None = None
    split: str = "test"
    seed: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)
    corruption: str | None = None
    severity: int = 0

    def record(self) -> Record:
        """An empty record of this job."""
        published_on = self.entry.published_on(self.split)
        return Record(
            name=self.entry.name,
            config=str(self.entry.config),
            weights=str(self.entry.weights),
            data_root=self.data_root,
            split=self.split,
            seed=self.seed,
            corruption=self.corruption,
            severity=self.severity,
            published={metric: self.entry.published[metric][name] for metric, name in published_on.items()},
            published_on=published_on,
        )

    def config(self, work_dir: str | Path) -> Config:
        """The config that ``runner.test()`` evaluates: its own, with this job's data, seed and corruption.

        Raises:
            UserError: if the config cannot be read, or has no such split.
        """
        cfg = read_config(self.entry.config, self.options, str(work_dir))
        for part in ("dataloader", "evaluator"):
            if not cfg.get(f"{self.split}_{part}"):
                raise UserError(f"config '{self.entry.config}' has no {self.split}_{part}: give another --split")
            cfg[f"test_{part}"] = cfg[f"{self.split}_{part}"]
        cfg.test_cfg = {"type": "TestLoop"}
        cfg.merge_from_dict({"load_from": None, "resume": False, "launcher": "none", "env_cfg.cudnn_benchmark": False})
        cfg.randomness = {"seed": self.seed}
        if self.data_root is not None:
            _move(cfg, self.data_root)
        if self.corruption is not None:
            _corrupt(_innermost(cfg.test_dataloader.dataset).pipeline, self.corruption, self.severity, self.seed)
        return cfg


def hash_config(path: str | Path, options: Mapping[str, Any]) -> str:
    """SHA-256 of what a config says once its bases and options are in it; in hexadecimals."""
    content = read_config(path, options, "").to_dict()
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=repr).encode()).hexdigest()


def parse_data_roots(arguments: Sequence[str]) -> dict[str | None, str]:
    """Folders of data as the command line gives them: ``FOLDER`` for all data, ``DATASET=FOLDER`` for that of a name.

    Raises:
        UserError: if one is no folder, or two are for the same.
    """
    roots: dict[str | None, str] = {}
    for argument in arguments:
        name, equals, path = argument.partition("=")
        dataset, folder = (name, path) if equals else (None, argument)
        if not Path(folder).is_dir():
            raise UserError(f"--data-root: '{folder}' is no folder: give FOLDER, or DATASET=FOLDER")
        if dataset in roots:
            raise UserError(f"--data-root: two folders for {dataset or 'all data'}: write DATASET=FOLDER for each")
        roots[dataset] = folder
    return roots


def data_root_of(entry: Entry, roots: Mapping[str | None, str]) -> str | None:
    """The folder of a model's data: its dataset's, else that of all data; None for the config's own.

    ``COCO`` is also the name of ``COCO test-dev``.
    """
    for name, folder in roots.items():
        if name is not None and any(dataset == name or dataset.startswith(f"{name} ") for dataset in entry.datasets):
            return folder
    return roots.get(None)


def _innermost(dataset: ConfigDict) -> ConfigDict:
    """The dataset inside wrappers.

    Raises:
        UserError: if it is several.
    """
    while "dataset" in dataset:
        dataset = dataset.dataset
    if "datasets" in dataset:
        raise UserError("evaluation wants one dataset, and the config's is made of several: name one in the config")
    return dataset


def _move(cfg: Config, root: str) -> None:
    """Have everything that a config reads of a dataset's folder read from another one: data, ground truth, word lists."""
    dataset = _innermost(cfg.test_dataloader.dataset)
    old = dataset.get("data_root")
    if old is None:
        dataset.data_root = root
        return
    for part in ("test_dataloader", "test_evaluator", "model"):
        cfg[part] = _replaced(cfg[part], str(old).rstrip("/"), root.rstrip("/") or "/")


def _replaced(value: Any, old: str, new: str) -> Any:
    if isinstance(value, dict):
        return ConfigDict({key: _replaced(part, old, new) for key, part in value.items()})
    if isinstance(value, list | tuple):
        return type(value)(_replaced(part, old, new) for part in value)
    if isinstance(value, str) and (value.rstrip("/") == old or value.startswith(f"{old}/")):
        return new + value[len(old) :]
    return value


def _corrupt(pipeline: list[Any], corruption: str, severity: int, seed: int) -> None:
    """Put the corruption behind whatever loads images.

    Raises:
        UserError: if nothing does.
    """
    step = ConfigDict(type="mmbeit3.Corrupt", corruption=corruption, severity=severity, seed=seed)
    for place, transform in enumerate(pipeline):
        if str(transform["type"]).split(".")[-1].startswith("LoadImage"):
            pipeline.insert(place + 1, step)
            return
        inner = transform.get("transforms")
        if isinstance(inner, list) and inner and isinstance(inner[0], dict):
            _corrupt(inner, corruption, severity, seed)
            return
    raise UserError(f"{corruption}: the config's pipeline loads no image")
