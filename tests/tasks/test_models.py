"""Properties of all task models: they learn, each weight has a layer id and a gradient, checkpoints load and save."""

import pytest
import torch
from mmengine.optim import build_optim_wrapper

from mmbeit3.checkpoint import load_checkpoint
from mmbeit3.models.beit3 import BEiT3
from mmbeit3.registry import MODELS
from mmbeit3.text import train_text_tokenizer
from tests.tasks.reference import SMALL, inputs

COUNT = 8
LABELS = [{"gt_label": torch.tensor([i % 2])} for i in range(COUNT)]
NAMES = ["red dog", "green cat", "blue bird"]
ANSWERS = [{"labels": torch.tensor([i % 3, 4]), "scores": torch.tensor([1.0, 0.3])} for i in range(COUNT)]

# Model type: further arguments, input names of a batch, data samples, learning rate.
MODELS_OF_TASKS = {
    "BEiT3VQA": ({"num_answers": 5}, ("image", "tokens"), ANSWERS, 1e-3),
    "BEiT3NLVR2": ({}, ("image", "image2", "tokens"), LABELS, 1e-3),
    "BEiT3Classification": ({"mixup": 0, "cutmix": 0, "label_smoothing": 0}, ("image",), LABELS, 1e-3),
    "BEiT3ZeroShotClassification": ({"class_names": NAMES, "label_smoothing": 0}, ("image",), LABELS, 3e-4),
    "BEiT3Retrieval": ({}, ("image", "tokens"), [{}] * COUNT, 3e-4),
}
FUSED = ("BEiT3VQA", "BEiT3NLVR2")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    pytest.importorskip("sentencepiece")
    return train_text_tokenizer(NAMES, tmp_path_factory.mktemp("names") / "names.spm", 18)


@pytest.fixture(params=MODELS_OF_TASKS)
def build(request):
    """Build the model of one task."""
    kwargs, *_ = MODELS_OF_TASKS[request.param]
    if request.param == "BEiT3ZeroShotClassification":
        kwargs = {**kwargs, "tokenizer": request.getfixturevalue("tokenizer")}
    network = {"arch": SMALL} if request.param != "BEiT3Classification" else {"arch": SMALL, "num_classes": 3}

    def make(init_cfg=None, **changes):
        cfg = {"type": f"mmbeit3.{request.param}", "network": {**network, **changes}, "init_cfg": init_cfg, **kwargs}
        return MODELS.build(cfg)

    make.task = request.param
    return make


def batch(task):
    _, names, samples, _ = MODELS_OF_TASKS[task]
    return {"inputs": inputs(COUNT, names), "data_samples": samples}


def optimizer(model, rate, **options):
    cfg = {
        "optimizer": {"type": "AdamW", "lr": rate, **options},
        "constructor": "mmbeit3.LayerDecayOptimWrapperConstructor",
        "paramwise_cfg": {"layer_decay_rate": 0.5},
    }
    return build_optim_wrapper(model, cfg)


def test_learns(build):
    model = build().train()
    wrapper = optimizer(model, MODELS_OF_TASKS[build.task][-1])
    logs = [model.train_step(batch(build.task), wrapper) for _ in range(40)]
    losses = [log["loss"].item() for log in logs]
    # The minimum of a cross-entropy with soft targets is the entropy of the targets.
    assert losses[-1] < 0.6 * losses[0]
    assert all(torch.isfinite(value) for value in logs[-1].values())


def test_predicts_as_the_loop_calls_it(build):
    model = build().eval()
    given = batch(build.task)
    predicted = model.test_step(given)
    assert len(predicted) == COUNT
    for old, new in zip(given["data_samples"], predicted, strict=True):
        assert all(new[key] is value for key, value in old.items())
        assert len(new) > len(old)
    assert not any(value.requires_grad for sample in predicted for value in sample.values() if torch.is_tensor(value))


def test_depths(build):
    model = build()
    groups = {id(p): group["lr"] for group in optimizer(model, 1.0).optimizer.param_groups for p in group["params"]}
    for name, parameter in model.named_parameters():
        tower = name.startswith(("network.vision.", "network.language."))
        if not parameter.requires_grad:
            assert tower
        elif not tower:
            assert groups[id(parameter)] == 1.0, name
        elif ".embed." in name:
            assert groups[id(parameter)] == 0.5**3, name
        elif ".layers." in name:
            assert groups[id(parameter)] == 0.5 ** (2 - int(name.split(".")[3])), name
        else:
            assert groups[id(parameter)] == 1.0, name


def test_whatever_is_trained_has_a_gradient_and_nothing_else_could(build):
    variants = [{}]
    if build.task != "BEiT3Classification":
        variants.append({"attention": "shared"})
    if build.task in FUSED:
        variants += [{"num_fusion_layers": 1}, {"num_fusion_layers": 1, "attention": "shared"}]
    for changes in variants:
        model = build(**changes).train()
        trained = {name for name, p in model.named_parameters() if p.requires_grad}
        model.requires_grad_(True)
        losses = model(**batch(build.task), mode="loss")
        sum(value for name, value in losses.items() if "loss" in name).backward()
        assert {name for name, p in model.named_parameters() if p.grad is not None} == trained, changes


def test_starts_from_pretraining_and_from_its_own_file(build, tmp_path):
    source = BEiT3(SMALL)
    torch.save({"state_dict": {f"network.{name}": tensor for name, tensor in source.state_dict().items()}}, tmp_path / "a.pth")
    model = build({"type": "Pretrained", "checkpoint": str(tmp_path / "a.pth")})
    model.init_weights()
    torch.testing.assert_close(
        model.network.vision.state_dict(),
        {name: tensor for name, tensor in source.vision.state_dict().items() if name in model.network.vision.state_dict()},
    )
    torch.save({"state_dict": model.state_dict()}, tmp_path / "b.pth")
    again = build()
    report = load_checkpoint(again.network, tmp_path / "b.pth")
    assert report.missing == report.unused == []
    torch.testing.assert_close(again.state_dict(), model.state_dict(), atol=0, rtol=0)


def test_learns_under_autocast_of_bfloat16(build):
    model = build().train()
    with torch.autocast("cpu", torch.bfloat16):
        losses = model(**batch(build.task), mode="loss")
    assert all(value.dtype == torch.float32 and torch.isfinite(value) for value in losses.values())


def test_modes_and_samples(build):
    model = build()
    given = batch(build.task)
    with pytest.raises(ValueError, match="needs data_samples"):
        model(given["inputs"], mode="loss")
    with pytest.raises(ValueError, match="no mode 'train'"):
        model(given["inputs"], given["data_samples"], mode="train")
