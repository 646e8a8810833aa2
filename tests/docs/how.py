"""Tables of the way to test each command and code block of the docs: unchanged if quick, otherwise with few changes."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, MODELS, init_default_scope

from mmbeit3 import zoo
from mmbeit3.checkpoint import LAYOUTS
from mmbeit3.models.beit3 import BEiT3
from mmbeit3.runner.config import read_config
from tests.configs.tasks import walk
from tests.configs.tiny import make_tiny
from tests.docs import data, shell
from tests.paths import ROOT

SMALL = 32
ARCH = {"embed_dims": 48, "num_layers": 2, "num_heads": 3, "ffn_dims": 96, "vocab_size": 64, "image_size": SMALL}


@dataclass(frozen=True)
class Run:
    """Run the command.

    Attributes:
        more: arguments to append, which make it quick or use the output of an earlier quick command.
        replace: pairs (old, new) of parts of the command to replace.
    """

    more: str = ""
    replace: tuple[tuple[str, str], ...] = ()

    def __call__(self, command: str) -> None:
        for old, new in self.replace:
            command = command.replace(old, new)
        shell.run(f"{command} {self.more}".strip())


@dataclass(frozen=True)
class Accept:
    """Do not run the command, for the reason given. Its tool must accept the arguments, and its configs must exist."""

    why: str

    def __call__(self, command: str) -> None:
        shell.accept(command)


def train_saved(command: str) -> None:
    """Train a config that the page tells the reader to save, with a tiny version of its model and data."""
    file = command.split()[-1]
    cfg = read_config(file)
    if cfg.get("default_scope") in ("mmdet", "mmseg"):
        make_tiny(cfg)
        if "rcnn" in cfg.model.test_cfg:
            # An untrained model finds many objects, whose masks would take time.
            cfg.model.test_cfg.rcnn.score_thr = 0.5
        cfg.train_dataloader.dataset.indices = cfg.val_dataloader.dataset.indices = 2
    else:
        shrink(cfg)
    short = {"max_epochs": 1, "val_interval": 1} if "max_epochs" in cfg.train_cfg else {"max_iters": 1, "val_interval": 1}
    cfg.train_cfg.update(short)
    Path(f"tiny_{file}").write_text("".join(f"{key} = {value!r}\n" for key, value in cfg.to_dict().items()))
    shell.run(f"python tools/train.py tiny_{file}")


def shrink(cfg: Config) -> None:
    """Change a config of a task or of contrastive tuning to a tiny network, tiny images, the CPU and the test vocabulary."""
    for part in walk(cfg):
        for key in ("scale", "crop_size", "image_size"):
            # A crop's scale of up to 1 is a share of the area, not a size in pixels.
            if key in part and (not isinstance(part[key], tuple) or max(part[key]) > 1):
                part[key] = (SMALL, SMALL) if isinstance(part[key], tuple) else SMALL
        if part.get("batch_size", 1) > 1:
            part["batch_size"] = 2
        if "batch" in part:
            part["batch"] = 2
        if "num_workers" in part:
            part.update(num_workers=0, persistent_workers=False)
    cfg.model.network.arch = ARCH
    for key in ("image_size", "with_cp"):
        cfg.model.network.pop(key, None)
    cfg.model.pop("init_cfg")
    cfg.optim_wrapper.type = "OptimWrapper"
    cfg.optim_wrapper.pop("dtype", None)
    cfg.env_cfg = {"dist_cfg": {"backend": "gloo"}}


def evaluate_mine(command: str) -> None:
    """Evaluate the index that the page shows, in this process and with fewer corruptions."""
    page = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
    Path("mine.yml").write_text(re.search(r"```yaml\n(.*?)```", page, re.S)[1])
    command = command.replace("gaussian_noise fog --severities 1 3 5", "fog --severities 5")
    shell.run(f"{command} --in-process --cfg-options test_dataloader.num_workers=0 test_dataloader.persistent_workers=False")


def convert_released(command: str) -> None:
    """Convert a tiny file with the key names of the released files."""
    state = LAYOUTS["official"].to_theirs(BEiT3("tiny").state_dict())
    torch.save({"model": state}, "beit3_base_patch16_224.pth")
    shell.run(command)


def publish(command: str) -> None:
    """Publish a checkpoint as training would write it."""
    log = Path("work_dirs/mine/20250101_000000/vis_data/scalars.json")
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text('{"mIoU": 50.0, "step": 12}\n')
    torch.save({"state_dict": BEiT3("tiny").state_dict()}, "work_dirs/mine/epoch_12.pth")
    # A config without a model, because these weights are not those of a detector.
    Path("mine.py").touch()
    shell.run(command)


DETECTOR = "mask-rcnn_beit3-adapter-t_shapes"
SEGMENTOR = "beit3-adapter-t_mask2former_shapes"


def _trained() -> None:
    """Make the work dirs of the two models that the pages train, with random weights, unless a page has trained them."""
    for name, file in ((DETECTOR, "epoch_3.pth"), (SEGMENTOR, "iter_1300.pth")):
        folder = Path("work_dirs") / name
        if not (folder / file).exists():
            folder.mkdir(parents=True, exist_ok=True)
            config = f"configs/shapes/{name}.py"
            init_default_scope(read_config(config).default_scope)
            data.save_weights(config, str(folder / file))
            read_config(config).dump(folder / f"{name}.py")
            (folder / "last_checkpoint").write_text(file)


def predict(command: str) -> None:
    """Predict with a model of the pages."""
    _trained()
    shell.run(f"{command} --device cpu")


def predict_video(command: str) -> None:
    """Predict a video of two frames."""
    writer = cv2.VideoWriter("video.mp4", cv2.VideoWriter.fourcc(*"mp4v"), 5.0, (128, 128))
    for number in (1, 2):
        writer.write(cv2.imread(f"photos/00000000000{number}.jpg"))
    writer.release()
    predict(command)


_SHORT = (
    "--cfg-options train_cfg.max_iters=2 default_hooks.checkpoint.interval=2 train_dataloader.num_workers=0 "
    "train_dataloader.persistent_workers=False"
)
_TEXTS = " ".join(f"train_dataloader.dataset.streams.{name}.masking.max_length=48" for name in ("texts", "pairs"))
_VQKD = "model.tokenizer.checkpoint=work_dirs/vqkd-tiny_shapes/iter_2.pth"
_RECIPE = (
    "--cfg-options recipe.epochs=1 recipe.image_size=64 train_dataloader.num_workers=0 "
    "train_dataloader.persistent_workers=False val_dataloader.num_workers=0 val_dataloader.persistent_workers=False"
)
COMMANDS: list[tuple[str, Callable[[str], None]]] = [
    (r"make ", Accept("takes minutes or hours; what it calls is run by these and other tests")),
    (r"pip install ", Accept("changes the environment")),
    (r"pip wheel ", Accept("takes a minute: tests/packaging builds a wheel")),
    (r"python3 -m venv ", Run("--without-pip")),
    (r"source ", Run()),
    (r"torchrun ", Accept("several processes: tests/engine/test_distributed.py and test_fully_sharded.py start them")),
    (r"python tools/make_shapes_dataset.py data/shapes", Run("--train 8 --val 8")),
    (r"python tools/train_text_tokenizer.py ", Run("--vocab-size 45")),
    (r"python tools/train.py configs/pretrain/vqkd-tiny_shapes.py$", Run(_SHORT)),
    (r"python tools/train.py configs/pretrain/beit3-tiny_mdm_shapes.py$", Run(f"{_SHORT} {_VQKD} {_TEXTS}")),
    (
        r"python tools/train.py configs/pretrain/beit3-tiny_itc_shapes.py$",
        Run(
            f"{_SHORT} model.init_cfg.checkpoint={data.PRETRAINED} train_dataloader.dataset.streams.pairs.batch=4 "
            "train_dataloader.dataset.streams.pairs.masking.max_length=48"
        ),
    ),
    (
        r"python tools/train.py configs/real/(vqkd|beit3)-tiny",
        Accept("takes half an hour on real images: tests/pretrain/test_real_configs.py trains a step on made ones"),
    ),
    (
        r"python tools/train.py configs/real/",
        Accept("takes minutes to an hour on real images: tests/configs/test_configs_run.py trains a step on made ones"),
    ),
    (
        r"python tools/(train_seeds|contact_sheet).py ",
        Accept("wants trainings of several minutes: tests/demos runs what they call"),
    ),
    (
        r"python tools/predict.py work_dirs/(mask|faster)-rcnn_\S+_(bccd|nuclei) ",
        Accept("wants a model of the command before, which is not run"),
    ),
    (
        r"python tools/analyze_codes.py ",
        Accept("wants a trained tokenizer and CamVid: tests/tools/test_analyze_codes.py analyses made images"),
    ),
    (r"python tools/train.py configs/shapes/\S+ --work-dir ", Run("train_cfg.max_epochs=1")),
    (r"python tools/train.py configs/shapes/\S+( |$)", Run()),
    (r"python tools/prepare_data.py --list$", Run()),
    (
        r"python tools/prepare_data.py (bccd|nuclei|camvid)",
        Accept("downloads, or takes a copy: tests/datasets/prepared does, from a server and copies of its own"),
    ),
    (
        r"python tools/prepare_data.py --check (data/coco|/datasets/)",
        Accept("COCO is not here: tests/datasets/inspection/test_public.py checks small copies"),
    ),
    (r"python tools/prepare_data.py --check ", Run()),
    (r"python tools/prepare_data.py --split ", Accept("the data are split: tests/datasets/test_splitting.py splits others")),
    (r"python tools/train.py (configs/mine/\w+|cells)\.py", Run(_RECIPE)),
    (
        r"python tools/predict.py work_dirs/detection ",
        Accept("the config in the work dir is not written in full here: tests/inference predicts"),
    ),
    (r"python tools/train.py [\w-]+\.py$", train_saved),
    (r"python tools/test.py configs/shapes/\S+ work_dirs/", Run()),
    (r"python tools/download.py --list$", Run()),
    (r"python tools/download.py ", Accept("downloads: tests/tools/test_download.py does, from a server of its own")),
    (r"python tools/predict.py work_dirs/\S+ video.mp4 ", predict_video),
    (r"python tools/predict.py ", predict),
    (
        r"python tools/plan_pretraining.py configs/pretrain/beit3-g_mdm_256xb8-1m.py ",
        Run(replace=(("beit3-g_mdm_256xb8-1m", "beit3-tiny_mdm_shapes"),)),
    ),
    (r"python tools/analyze_errors.py configs/shapes/", Run("--images 1")),
    (r"python tools/evaluate.py --list$", Run()),
    (r"python tools/(evaluate|evaluate_robustness).py --index mine.yml ", evaluate_mine),
    (
        r"python tools/evaluate.py ",
        Accept("downloads the released weights and wants whole datasets: tests/evaluation/published evaluates made models"),
    ),
    (
        r"(PYTHONPATH=\S+ )?python tools/benchmark.py ",
        Accept("takes minutes; tests/tools/test_benchmark.py runs it in tiny sizes"),
    ),
    (
        r"python tools/(train|test).py configs/(captioning|nlvr2|vqa)/",
        Accept("wants the whole dataset: tests/configs/test_task_configs_run.py trains and tests these on made data"),
    ),
    (r"python tools/test.py by_name.py ", Accept("wants ImageNet; the config is read where it is saved")),
    (r"python tools/convert_checkpoint.py beit3_base_patch16_224.pth ", convert_released),
    (r"python tools/convert_checkpoint.py ours.safetensors ", Run()),
    (r"python tools/export.py ", Accept("a minute for each; tests/tools/test_export.py runs it in tiny sizes")),
    (r"python tools/publish_model.py ", publish),
    (r"python tools/build_answers.py ", Accept("wants VQAv2: tests/tools/test_build_answers.py runs it")),
    (r"python tools/demo_app.py ", Accept("serves until it is interrupted: tests/web/test_app.py starts it")),
]
"""Regex for the start of a command, and how to test it. The first match counts."""


def infer(code: str) -> None:
    """Run an inferencer with the tiny config of the same task, and tiny weights under the file names of the page."""
    for config in set(re.findall(r"configs/\w+/[\w.-]+\.py", code)):
        (tiny,) = Path(config).parent.glob("beit3-tiny*")
        code = code.replace(config, str(tiny))
        for weights in re.findall(r"[\w-]+\.pth", code):
            data.save_weights(str(tiny), weights)
    _execute(code)


def downloads(code: str) -> None:
    """Check that the files that the code would download are in the index."""
    compile(code, "block", "exec")
    assert [zoo.find(name) for name in re.findall(r'(?:fetch|load)\("([^"]+)"', code)]


def use_model(code: str) -> None:
    """Run code that predicts with a model of the pages."""
    _trained()
    _execute(code)


def network_alone(code: str) -> None:
    """Run code for the network alone with the size tiny and random inputs."""
    torch.save(BEiT3("tiny").state_dict(), "beit3_base_patch16_224.pth")
    tokens = torch.tensor([[0, 5, 2]])
    _execute(code.replace('"base"', '"tiny"'), image=torch.rand(1, 3, 224, 224), tokens=tokens, padding=tokens == 1)


def in_a_detector(code: str) -> None:
    """Build a tiny detector of mmdet with this part of a config, from weights under the file name that it gives."""
    torch.save(BEiT3("tiny").state_dict(), "beit3_base_patch16_224.pth")
    small = "interaction_indexes=((0, 1), (2, 3), (4, 5), (6, 7)), deform_num_heads=6"
    code = code.replace("768", "192").replace('arch="base"', 'arch="tiny"')
    code = code.replace('type="mmbeit3.ViTAdapter",', f'type="mmbeit3.ViTAdapter", {small},')
    shell.save('_base_ = "mmdet::_base_/models/mask-rcnn_r50_fpn.py"\n' + code, "part.py")
    init_default_scope("mmdet")
    MODELS.build(read_config("part.py").model).init_weights()


def streams(code: str) -> None:
    """Check that the streams of this part of a pretraining config give a step of data."""
    cfg = read_config("configs/pretrain/beit3-tiny_mdm_shapes.py")
    found = _execute(code)["streams"]
    for name, path in (("images", "train2017"), ("texts", "texts_train.txt"), ("pairs", "pairs_train.jsonl")):
        if name in found:
            paths = [f"data/shapes/{path}"]
            if any(isinstance(given, dict) for given in found[name]["paths"]):
                paths.append({"list": "data/shapes/annotations/instances_train2017.json", "folder": paths[0]})
            found[name].update(paths=paths, batch=2)
    cfg.train_dataloader.dataset.streams = found
    assert set(next(iter(DATASETS.build(cfg.train_dataloader.dataset)))["inputs"]) == set(found)


def start_from(code: str) -> None:
    """Check that with this part of a detection config, the backbone starts from pretraining weights."""
    cfg = read_config("configs/coco/mask-rcnn_beit3-adapter-b_fpn_1x_coco.py")
    found = _execute(code)["backbone"]["vit"]["init_cfg"]
    make_tiny(cfg)
    cfg.model.backbone.vit.init_cfg = {**found, "checkpoint": str(data.PRETRAINED)}
    init_default_scope("mmdet")
    model = MODELS.build(cfg.model)
    model.init_weights()
    start = torch.load(data.PRETRAINED, weights_only=True)["state_dict"]["vision.layers.0.ffn.fc1.weight"]
    assert torch.equal(model.backbone.vit.layers[0].ffn.fc1.weight, start)


def _execute(code: str, **given: object) -> dict:
    namespace = dict(given)
    exec(code, namespace)
    return namespace


PARTS: list[tuple[str, Callable[[str], None]]] = [
    ("load_model(", use_model),
    ("= DetInferencer(", use_model),
    ("= MMSegInferencer(", use_model),
    ("Inferencer(", infer),
    ("import zoo", downloads),
    ("model(image=image, tokens=tokens, padding_mask=padding)", network_alone),
    ("custom_imports = ", in_a_detector),
    ("streams = dict(\n", streams),
    ("backbone = dict(vit=dict(init_cfg=", start_from),
]
"""Text that a Python block contains, and how to test the block. The first match counts. Other blocks are executed unchanged."""


def try_command(command: str) -> None:
    """Test a command as :data:`COMMANDS` says.

    Raises:
        AssertionError: if no pattern matches.
    """
    for pattern, how in COMMANDS:
        if re.match(pattern, command):
            return how(command)
    raise AssertionError(f"tests/docs/how.py does not say how to test '{command}'")


def try_python(code: str, file: str | None) -> None:
    """Save and read a config, or test another block as :data:`PARTS` says."""
    if code.startswith("_base_"):
        assert file, "the line before the config does not give the file name to save it under"
        return shell.save(code, file)
    for part, how in PARTS:
        if part in code:
            return how(code)
    _execute(code)
    return None
