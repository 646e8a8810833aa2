"""Exported task models: outputs at batch sizes and text lengths other than those of the tracing, and errors."""

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS
from torch.nn import functional as F

from mmbeit3.errors import UserError
from mmbeit3.export import FORMATS, build_task, compare_task_outputs, export_task, task_graphs, trace_task
from mmbeit3.export import export as module
from mmbeit3.export.export import _Format
from tests.datasets import made
from tests.export.models import spread
from tests.tasks.reference import SMALL

exporting = pytest.mark.skipif(not hasattr(torch.compiler, "is_exporting"), reason="export needs PyTorch 2.7")
NETWORK = {"arch": {**SMALL, "num_layers": 1}}
ANSWERS = ["yes", "no", "red", "two", "left"]
TASKS = {
    "vqa": {"type": "mmbeit3.BEiT3VQA", "answers": ANSWERS},
    "nlvr2": {"type": "mmbeit3.BEiT3NLVR2"},
    "retrieval": {"type": "mmbeit3.BEiT3Retrieval"},
    "classification": {"type": "mmbeit3.BEiT3Classification", "network": {**NETWORK, "num_classes": 5}},
    "named": {"type": "mmbeit3.BEiT3ZeroShotClassification", "class_names": ["red circle", "blue box", "green"]},
}
SOME_SLOW = [pytest.param(task, marks=pytest.mark.slow) if task in ("nlvr2", "named") else task for task in TASKS]


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    def build(task):
        options = {"network": NETWORK, **TASKS[task]}
        if task == "named":
            pytest.importorskip("sentencepiece")
            options["tokenizer"] = made.tokenizer(tmp_path_factory.mktemp("tokenizer"))
        return spread(MODELS.build(options))

    return build


def inputs(names, count=3, length=9):
    """Return a batch for the model; :func:`normalised` converts it to inputs of the file."""
    generator = torch.Generator().manual_seed(3)
    tokens = torch.randint(3, 60, (count, length), generator=generator)
    padding = torch.arange(length) >= torch.tensor([length, 2, 5])[:count, None]
    batch = {"tokens": tokens.masked_fill(padding, 1), "padding_mask": padding}
    for name in ("image", "image2"):
        batch[name] = torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8, generator=generator)
    return {name: batch[name] for name in names}


def normalised(model, batch):
    return {name: model.normalize(each) if each.dtype == torch.uint8 else each for name, each in batch.items()}


def expected(model, batch):
    with torch.no_grad():
        predicted = model(batch, [{} for _ in next(iter(batch.values()))], mode="predict")
    (key,) = {"image_feature", "text_feature", "pred_score"} & set(predicted[0])
    return torch.stack([sample[key] for sample in predicted])


def as_predicted(task, found):
    """Convert logits to the scores of the model."""
    if task == "retrieval":
        return found
    return found.sigmoid() if task == "vqa" else found.softmax(dim=1)


@exporting
@pytest.mark.parametrize("task", SOME_SLOW)
def test_onnx_files_give_what_the_model_predicts(build, task, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    model = build(task)
    written = export_task(model, tmp_path / "new" / "model.onnx", "onnx")
    names = ["model-image.onnx", "model-text.onnx"] if task == "retrieval" else ["model.onnx"]
    assert [each.path.name for each in written] == names
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == names
    for each in written:
        session = runtime.InferenceSession(each.path, providers=["CPUExecutionProvider"])
        shapes = {value.name: value.shape for value in session.get_inputs()}
        for name, shape in shapes.items():
            assert shape == (["batch", 3, 32, 32] if name.startswith("image") else ["batch", "length"])
        for count, length in ((3, 9), (1, 2), (2, 14)):
            batch = inputs(shapes, count, length)
            given = {name: tensor.numpy() for name, tensor in normalised(model, batch).items()}
            (found,) = session.run(None, given)
            wanted = expected(model, batch)
            torch.testing.assert_close(as_predicted(task, torch.from_numpy(found)), wanted, atol=1e-5, rtol=1e-4)
            if task == "retrieval":
                np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
        assert session.get_outputs()[0].name in ("logits", "image_feature", "text_feature")
        content = each.path.read_bytes()
        assert b"site-packages" not in content
        assert b"captioning.py" not in content


@exporting
@pytest.mark.parametrize("task", SOME_SLOW)
def test_programs_give_what_the_model_predicts(build, task):
    model = build(task)
    for graph in task_graphs(model):
        run = FORMATS["torch"].load(FORMATS["torch"].serialize(trace_task(graph)))
        for count, length in ((3, 9), (1, 2)):
            batch = inputs(graph.inputs, count, length)
            (found,) = run(*normalised(model, batch).values())
            torch.testing.assert_close(as_predicted(task, found), expected(model, batch), atol=1e-5, rtol=1e-4)


def test_each_tower_is_in_its_own_file(build):
    image, text = (dict(graph.module.named_parameters()) for graph in task_graphs(build("retrieval")))
    assert not [name for name in image if "language" in name]
    assert not [name for name in text if "vision" in name]
    model = build("retrieval")
    task_graphs(model)
    assert model.network.language is not None


@exporting
def test_another_image_size(build):
    """The export interpolates the position embeddings like the model."""
    model = build("classification")
    (graph,) = task_graphs(model, (48, 64))
    run = FORMATS["torch"].load(FORMATS["torch"].serialize(trace_task(graph)))
    image = torch.randint(0, 256, (1, 3, 48, 64), dtype=torch.uint8)
    (found,) = run(model.normalize(image))
    torch.testing.assert_close(found.softmax(dim=1), expected(model, {"image": image}), atol=1e-5, rtol=1e-4)
    with pytest.raises(UserError, match="image of 10x64 is too small to export with: give sides of at least 16 pixels"):
        task_graphs(model, (10, 64))


def test_random_inputs_have_padding(build):
    (graph,) = task_graphs(build("vqa"))
    image, tokens, padding = graph.random(3, 6, torch.Generator().manual_seed(0))
    assert image.shape == (3, 3, 32, 32)
    assert padding.sum(dim=1).tolist() == [0, 1, 2]
    assert tokens.unique().numel() > 5


@pytest.mark.parametrize("amount", [1e-3, float("nan")])
def test_what_does_not_agree_is_not_written(build, tmp_path, monkeypatch, amount):
    """The second of two files fails, and the first is not written either."""
    model = build("retrieval")
    image, text = (graph.module for graph in task_graphs(model))
    tried = iter([lambda image_: (image(image_),), lambda *given: (F.pad(text(*given)[:, 1:], (1, 0), value=amount),)])
    monkeypatch.setitem(FORMATS, "torch", _Format(lambda *given: b"new", lambda content: torch.no_grad()(next(tried))))
    monkeypatch.setattr(module, "trace_task", lambda graph: None)
    (tmp_path / "m-image.pt2").write_bytes(b"old")
    with pytest.raises(
        UserError,
        match=r"outputs of the export and the model differ by more than 0.0001, nothing was written: text 1 x 14 tokens",
    ):
        export_task(model, tmp_path / "m.pt2", "torch")
    assert (tmp_path / "m-image.pt2").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["m-image.pt2"]


def test_differences_are_told(build):
    (graph,) = task_graphs(build("vqa"))
    with torch.no_grad():
        one, two = compare_task_outputs(graph, lambda *given: (graph.module(*given) + 0.5,), [(1, 14), (2, 3)])
    assert str(one).startswith("1 x 32x32 and 14 tokens: largest difference logits 5.0e-01 (values up to ")
    assert str(two).startswith("2 x 32x32 and 3 tokens: ")
    assert one.min_scale == two.min_scale == max(*one.max_values, *two.max_values)
    assert not one.within


def config(model):
    return Config({"model": model, "default_scope": "mmengine"})


def test_weights_are_the_task_s_own(build, tmp_path):
    cfg = config({**TASKS["vqa"], "network": NETWORK})
    model = build("vqa")
    torch.save({"state_dict": model.state_dict()}, tmp_path / "vqa.pth")
    built, source = build_task(cfg, tmp_path / "vqa.pth")
    assert source == f"weights of {tmp_path / 'vqa.pth'}"
    assert not built.training
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in built.state_dict().items())
    torch.save({"state_dict": build("nlvr2").state_dict()}, tmp_path / "nlvr2.pth")
    with pytest.raises(UserError, match=r"nlvr2\.pth"):
        build_task(cfg, tmp_path / "nlvr2.pth")
    assert build_task(cfg)[1].startswith("random weights")


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ({"type": "mmbeit3.BEiT3Captioning", "network": NETWORK}, "^BEiT3Captioning cannot be exported: beam search is a loop"),
        (
            {"type": "mmbeit3.BEiT3Pretrainer"},
            "^BEiT3Pretrainer cannot be exported: give a backbone of a detector .* BEiT3NLVR2$",
        ),
        ({"type": "mmbeit3.Absent"}, "Absent cannot be exported"),
        ({**TASKS["vqa"], "network": {"arch": "small"}}, "cannot be built: .*unknown arch 'small'"),
        ({}, "has no model: give the config of a detector, a segmentor or a task"),
    ],
)
def test_what_cannot_be_exported(model, reason):
    with pytest.raises(UserError, match=reason) as caught:
        build_task(config(model))
    assert "\n" not in str(caught.value)
