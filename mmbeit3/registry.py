"""Registries of scope ``mmbeit3``, children of MMEngine's: ``type='mmbeit3.X'`` works from any mmdet or mmseg config.

Importing this module prepares OpenMMLab (:func:`mmbeit3.openmmlab.prepare`): if mmcv has no compiled ops, mmbeit3 supplies
replacements. This must happen before anything of ``mmdet.models`` is imported, so a config imports this module first:
``custom_imports = dict(imports=['mmbeit3.registry'], allow_failed_imports=False)``.
"""

from mmbeit3.openmmlab import prepare

prepare()

from mmengine.registry import DATASETS as MMENGINE_DATASETS  # noqa: E402
from mmengine.registry import FUNCTIONS as MMENGINE_FUNCTIONS  # noqa: E402
from mmengine.registry import HOOKS as MMENGINE_HOOKS  # noqa: E402
from mmengine.registry import METRICS as MMENGINE_METRICS  # noqa: E402
from mmengine.registry import MODELS as MMENGINE_MODELS  # noqa: E402
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS as MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS  # noqa: E402
from mmengine.registry import OPTIM_WRAPPERS as MMENGINE_OPTIM_WRAPPERS  # noqa: E402
from mmengine.registry import STRATEGIES as MMENGINE_STRATEGIES  # noqa: E402
from mmengine.registry import TASK_UTILS as MMENGINE_TASK_UTILS  # noqa: E402
from mmengine.registry import TRANSFORMS as MMENGINE_TRANSFORMS  # noqa: E402
from mmengine.registry import Registry  # noqa: E402

_MODELS = [
    "models.backbones",
    "models.heads",
    "models.layers",
    "models.necks",
    "models.test_time_augs",
    "pretrain.contrastive_tuner",
    "pretrain.pretrainer",
    "pretrain.tokenizer_trainer",
    "recipes.unresolved",
    "tasks.captioning",
    "tasks.classification",
    "tasks.nlvr2",
    "tasks.retrieval",
    "tasks.vqa",
    "tasks.zero_shot",
]
MODELS = Registry("model", parent=MMENGINE_MODELS, scope="mmbeit3", locations=[f"mmbeit3.{part}" for part in _MODELS])
_DATASETS = ["datasets.coco_captions", "datasets.karpathy", "datasets.nlvr2", "datasets.vqa", "pretrain.steps"]
DATASETS = Registry("dataset", parent=MMENGINE_DATASETS, scope="mmbeit3", locations=[f"mmbeit3.{part}" for part in _DATASETS])
FUNCTIONS = Registry(
    "function",
    parent=MMENGINE_FUNCTIONS,
    scope="mmbeit3",
    locations=["mmbeit3.datasets.collate", "mmbeit3.pretrain.steps"],
)
_TRANSFORMS = ["datasets.corruption", "datasets.task_transforms", "datasets.transforms", "datasets.vqa_labels"]
TRANSFORMS = Registry(
    "transform", parent=MMENGINE_TRANSFORMS, scope="mmbeit3", locations=[f"mmbeit3.{part}" for part in _TRANSFORMS]
)
METRICS = Registry("metric", parent=MMENGINE_METRICS, scope="mmbeit3", locations=["mmbeit3.evaluation"])
HOOKS = Registry("hook", parent=MMENGINE_HOOKS, scope="mmbeit3", locations=["mmbeit3.engine", "mmbeit3.pretrain.hooks"])
STRATEGIES = Registry("strategy", parent=MMENGINE_STRATEGIES, scope="mmbeit3", locations=["mmbeit3.engine.strategies"])
TASK_UTILS = Registry("task util", parent=MMENGINE_TASK_UTILS, scope="mmbeit3", locations=["mmbeit3.models.heads"])
OPTIM_WRAPPER_CONSTRUCTORS = Registry(
    "optimizer wrapper constructor",
    parent=MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS,
    scope="mmbeit3",
    locations=["mmbeit3.engine"],
)
OPTIM_WRAPPERS = Registry("optimizer wrapper", parent=MMENGINE_OPTIM_WRAPPERS, scope="mmbeit3", locations=["mmbeit3.engine"])

__all__ = [
    "DATASETS",
    "FUNCTIONS",
    "HOOKS",
    "METRICS",
    "MODELS",
    "OPTIM_WRAPPERS",
    "OPTIM_WRAPPER_CONSTRUCTORS",
    "STRATEGIES",
    "TASK_UTILS",
    "TRANSFORMS",
]
