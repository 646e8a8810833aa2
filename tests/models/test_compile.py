"""The whole backbone compiles to one graph, for fixed and for changing sizes."""

import pytest
import torch

from mmbeit3.models.backbones import BEiT3Vision, ViTAdapter
from mmbeit3.models.beit3 import BEiT3
from tests.goldens import ARCH


@pytest.fixture(autouse=True)
def _fresh():
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def adapter():
    vit = {"type": "mmbeit3.BEiT3Vision", "arch": ARCH}
    return ViTAdapter(vit, [(i, i) for i in range(4)], conv_inplane=8, deform_num_heads=3, norm_cfg={"type": "BN"}).eval()


MODELS = {
    "tower": lambda: BEiT3Vision(ARCH).eval(),
    "windows": lambda: BEiT3Vision(ARCH, window_size=3, global_indices=(3,)).eval(),
    "adapter": adapter,
}


@pytest.mark.parametrize("name", MODELS)
def test_one_graph_for_a_size(name):
    model = MODELS[name]()
    image = torch.randn(2, 3, 64, 96)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    with torch.no_grad():
        torch.testing.assert_close(compiled(image), model(image), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["tower", "adapter"])
def test_one_graph_for_all_sizes(name):
    model = MODELS[name]()
    graphs = []

    def counting(graph, inputs):
        graphs.append(graph)
        return graph

    compiled = torch.compile(model, fullgraph=True, dynamic=True, backend=counting)
    with torch.no_grad():
        # (A side that is the position table's own gets a second graph, without resizing.)
        for size in [(96, 128), (128, 160), (160, 96)]:
            image = torch.randn(2, 3, *size)
            torch.testing.assert_close(compiled(image), model(image), atol=1e-4, rtol=1e-4)
    assert len(graphs) == 1


def test_gradients_in_one_graph():
    model = adapter().train()
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    image = torch.randn(2, 3, 64, 64)
    plain, found = (
        torch.autograd.grad(
            sum(m.cos().mean() for m in function(image)), [model.spm.fc2.weight, model.vit.layers[1].ffn.fc1.weight]
        )
        for function in (model, compiled)
    )
    torch.testing.assert_close(found, plain, atol=1e-6, rtol=1e-3)


def test_the_full_model():
    model = BEiT3(ARCH).eval()
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    image, tokens = torch.randn(2, 3, 64, 64), torch.randint(0, 300, (2, 9))
    with torch.no_grad():
        for ours, theirs in zip(compiled(image, tokens), model(image, tokens), strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
