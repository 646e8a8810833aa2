"""The whole backbone compiles to one graph, for fixed and for changing sizes."""

from functools import cache

import pytest
import torch
from torch._dynamo.backends.debugging import aot_eager

from mmbeit3.models.backbones import BEiT3Vision, TimmViT, ViTAdapter
from mmbeit3.models.beit3 import BEiT3
from mmbeit3.ops import regions
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


@pytest.fixture
def graphs(monkeypatch):
    """Compile blocks without code generation, and return the list of their graphs."""
    made = []

    def backend(graph, inputs):
        made.append(graph)
        return aot_eager(graph, inputs)

    @cache
    def compiled(function):
        return torch.compile(function, backend=backend, dynamic=True)

    monkeypatch.setattr(regions, "_compiled", compiled)
    return made


def adapter_of(**vit):
    vit = {"type": "mmbeit3.BEiT3Vision", "arch": ARCH, **vit}
    return ViTAdapter(
        vit, [(i, i) for i in range(4)], conv_inplane=8, deform_num_heads=3, norm_cfg={"type": "BN"}, with_cp=True
    )


def switch(model, on):
    for module in regions.switches(model):
        module.compile_blocks = on


@pytest.mark.parametrize(
    "build",
    [
        lambda: BEiT3Vision(ARCH, drop_path_rate=0.3, window_size=3, global_indices=(1,)),
        lambda: adapter_of(with_cp=True, drop_path_rate=0.3),
        lambda: TimmViT("test_vit", drop_path_rate=0.3, image_size=64),
    ],
    ids=["tower", "adapter", "timm"],
)
def test_compiled_blocks(build, graphs):
    """Blocks compiled on the switch: the same results with stochastic depth, and few graphs for all layers and sizes."""
    model = build().train()
    counts = []
    for size in [(64, 64), (96, 128), (128, 96)]:
        image = torch.randn(2, 3, *size)
        found = []
        for on in (False, True):
            switch(model, on)
            torch.manual_seed(0)
            model.zero_grad()
            maps = model(image)
            sum(m.cos().mean() for m in maps).backward()
            found.append([*maps, *(p.grad.clone() for p in model.parameters() if p.grad is not None)])
        torch.testing.assert_close(found[1], found[0], atol=1e-5, rtol=1e-4)
        counts.append(len(graphs))
    assert 0 < counts[0] <= 15
    assert counts[-1] - counts[0] <= 3


def test_compiled_blocks_of_the_full_model(graphs):
    model = BEiT3(ARCH, compile_blocks=True)
    image, tokens = torch.randn(2, 3, 64, 64), torch.randint(0, 300, (2, 9))
    compiled = model(image, tokens)
    assert graphs
    switch(model, False)
    for ours, theirs in zip(compiled, model(image, tokens), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
