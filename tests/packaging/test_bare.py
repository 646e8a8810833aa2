"""The wheel alone, without extras: the network in plain PyTorch, and one line for everything that needs more."""

import re

import pytest

NETWORK = """
import sys
import torch
from mmbeit3.checkpoint import load_checkpoint
from mmbeit3.models.beit3 import BEiT3, Tower, VisionEmbedding, get_arch

trained = BEiT3("tiny").eval()
torch.save({"model": trained.state_dict()}, "weights.pth")
image = torch.rand(1, 3, 128, 128)
tokens = torch.tensor([[0, 5, 2]])
for report in (load_checkpoint(again := BEiT3("tiny").eval(), "weights.pth"),):
    assert not report.missing and not report.unused, report
with torch.no_grad():
    assert torch.equal(again(image=image, tokens=tokens).vision, trained(image=image, tokens=tokens).vision)

# The vision path alone, from the same file.
arch = get_arch("tiny")
backbone = Tower(arch, VisionEmbedding(arch)).eval()
assert not load_checkpoint(backbone, "weights.pth").missing
assert all(torch.equal(value, trained.vision.state_dict()[name]) for name, value in backbone.state_dict().items())
print(sorted(name for name in sys.modules if name in ("mmengine", "mmcv", "mmdet", "mmseg", "mmpretrain")))
"""

NEEDING = [
    "import mmbeit3.registry",
    "from mmbeit3.models.backbones import ViTAdapter",
    "from mmbeit3.models.necks import SimpleFeaturePyramid",
    "from mmbeit3.inference import load_model",
    "from mmbeit3 import load_model",
    "from mmbeit3.inference import VQAInferencer",
    "import mmbeit3.engine",
    "import mmbeit3.evaluation",
    "import mmbeit3.export",
    "from mmbeit3.tasks.vqa import BEiT3VQA",
]
TRYING = """
import sys
for statement in sys.argv[1:]:
    try:
        exec(statement)
        print("nothing was raised")
    except ImportError as error:
        print(error)
"""
MESSAGE = "mmengine, mmcv cannot be imported: pip install 'mmbeit3[det]' (the maintained onedl-* forks), or install"


def test_network_and_checkpoints_need_nothing_more(environment, tmp_path):
    assert environment().check("-c", NETWORK, cwd=tmp_path).strip() == "[]"


def test_what_needs_an_extra_says_so_in_one_line(environment, tmp_path):
    lines = environment().check("-c", TRYING, *NEEDING, cwd=tmp_path).splitlines()
    assert [line[: len(MESSAGE)] for line in lines] == [MESSAGE] * len(NEEDING)


CONFIG = "mmbeit3::shapes/mask-rcnn_beit3-adapter-t_shapes.py"


@pytest.mark.parametrize("command", [["train", CONFIG], ["test", CONFIG, "weights.pth"], ["predict", CONFIG, "image.jpg"]])
def test_so_do_the_commands(command, environment, tmp_path):
    done = environment().run("-m", "mmbeit3", *command, cwd=tmp_path)
    assert done.returncode == 2
    assert re.match(r"error: mmengine(, mmcv)? cannot be imported: pip install 'mmbeit3\[det\]'", done.stderr)
    assert done.stderr.count("\n") == 1


def test_the_overview_lists_tools_and_configs(environment, tmp_path):
    lines = environment().check("-m", "mmbeit3", cwd=tmp_path).splitlines()
    assert {"  train", "  plan_pretraining", "  mmbeit3::shapes/mask-rcnn_beit3-adapter-t_shapes.py"} <= set(lines)


def test_an_unknown_tool_or_config_is_named(environment, tmp_path):
    done = environment().run("-m", "mmbeit3", "trian", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: there is no tool 'trian': choose one of analyze_codes, analyze_errors")


def test_the_zoos_index_is_read_from_the_wheel(environment, tmp_path):
    code = """
from mmbeit3.zoo import index_root, read_index
entries = read_index()
missing = [entry.name for entry in entries.values() if entry.config and not (index_root() / entry.config).is_file()]
print(index_root(), len(entries) > 20, missing)
"""
    env = environment()
    assert env.check("-c", code, cwd=tmp_path).strip() == f"{env.site / 'mmbeit3' / '.mim'} True []"
