"""Results of installed peers, and messages about missing ones."""

import sys
from dataclasses import replace
from functools import partial

import pytest
import torch

from benchmarks import networks, peers
from benchmarks.cases import Unavailable, deviation
from benchmarks.forcing import force_attention, with_attention
from benchmarks.settings import Settings
from benchmarks.suites import SUITES
from benchmarks.suites.ops import problem, projected_problem
from benchmarks.suites.ops_shapes import extractor_shapes, injector_shapes, pixel_decoder_shapes
from mmbeit3.models.beit3 import get_arch
from mmbeit3.ops import fused_ms_deform_attn, ms_deform_attn

SETTINGS = Settings().for_check()


@pytest.mark.parametrize("suite", ["ops", "backbone", "train-step"])
def test_all_that_are_here_compute_the_same(suite):
    for case in SUITES[suite](SETTINGS):
        expected = None
        for contender in case.contenders:
            try:
                result = contender.make(True)()
            except Unavailable:
                continue
            expected = expected or result
            assert deviation(expected, result) < case.tolerance, (case.name, contender.name)


def test_mmcv_fallback_is_not_ours():
    function = peers.mmcv_fallback()
    assert function.__module__ == "mmcv.ops.multi_scale_deform_attn"
    assert not hasattr(function, "__wrapped__")


def test_forced_attention_is_used_and_taken_back():
    network = networks.adapter(SETTINGS.sizes, 64)
    image = networks.make_image(64, "cpu")
    expected = networks.forward_step(network, {"image": image}, SETTINGS, "float32")()
    fallback, used = peers.mmcv_fallback(), []

    def attention(*args):
        used.append(len(args))
        return fallback(*args)

    step = networks.forward_step(network, {"image": image}, SETTINGS, "float32")
    assert deviation(expected, with_attention(step, attention)()) < 1e-4
    # Four injectors, four extractors and two more at the end.
    assert used == [4] * 10
    step()
    assert len(used) == 10


def test_forcing_what_nobody_uses_is_an_error():
    with pytest.raises(RuntimeError, match="was not used"):
        with_attention(lambda: [torch.ones(1)], peers.mmcv_fallback())()


def test_forced_attention_computes_in_float32():
    seen = []

    def attention(value, shapes, locations, weights):
        seen.append(value.dtype)
        return value.flatten(2)[:, : locations.shape[1]]

    with force_attention(attention) as calls:
        from mmbeit3.models.layers import DeformableAttention

        layer = DeformableAttention(16, 2)
        with torch.autocast("cpu", torch.bfloat16):
            layer(torch.ones(1, 4, 16), torch.full((1, 4, 1, 2), 0.5), torch.ones(1, 4, 16), [(2, 2)])
        assert calls() == 1
    assert seen == [torch.float32]


@pytest.mark.parametrize(
    ("package", "find", "install"),
    [
        (
            "torchscale",
            partial(peers.torchscale_tower, get_arch("tiny"), 64, None),
            "pip install --no-deps torchscale fairscale",
        ),
        ("transformers", peers.transformers_fallback, "pip install transformers"),
        ("deformops", peers.deformops, "pip install deformops"),
    ],
)
def test_missing_package(monkeypatch, package, find, install):
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(Unavailable, match=install) as caught:
        find()
    assert "\n" not in str(caught.value)


def test_compiled_operator_of_mmcv_on_a_cpu():
    with pytest.raises(Unavailable, match="GPUs only"):
        peers.mmcv_compiled("cpu")


def test_shapes_of_base_at_512():
    base = get_arch("base")
    injector, extractor = injector_shapes(base, 512), extractor_shapes(base, 512)
    assert injector.queries == ((32, 32),)
    assert injector.levels == ((64, 64), (32, 32), (16, 16))
    assert (injector.heads, injector.dims, injector.points) == (12, 32, 4)
    assert (extractor.queries, extractor.levels) == (injector.levels, injector.queries)


def test_bytes_moved_by_hand():
    shapes = extractor_shapes(get_arch("tiny"), 32)  # 16 + 4 + 1 queries, 4 cells, 3 heads of 32 channels
    value, output, samples = 2 * 4 * 96, 2 * 21 * 96, 4 * 3 * 21 * 3 * 4
    assert shapes.bytes_moved(2, backward=False) == value + output + samples
    assert shapes.bytes_moved(2, backward=True) == 3 * (value + samples) + 2 * output


def test_bytes_moved_for_a_batch_and_half_precision():
    shapes = extractor_shapes(get_arch("tiny"), 32, batch=3)
    value, output, samples = 2 * 4 * 96, 2 * 21 * 96, 2 * 3 * 21 * 3 * 4
    assert shapes.bytes_moved(2, False, samples_element=2) == 3 * (value + samples + output)


def test_cases_of_a_gpu():
    """Sizes of a real GPU, which only a run there measures; the lower bound in GB by hand."""
    cases = list(SUITES["ops"](replace(Settings(), device="cuda", dtypes=("bfloat16",))))
    moved = {case.name: case.bytes_moved for case in cases}
    assert len(moved) == len(cases) == 12 + 1 + 6 * 4 + 2
    cells, queries, width = 112**2 + 56**2 + 28**2, 56**2, 16 * 32
    assert moved["injector of large 896², points near, forward"] == 2 * (cells + queries) * width + 12 * queries * 16 * 12
    assert moved["injector of large 896², from projections, forward"] == 2 * (cells + queries) * width + 6 * queries * 16 * 12
    assert "layer of Mask2Former's pixel decoder 1024², batch 2, points anywhere, forward + backward" in moved
    assert {"mmbeit3 fused", "mmbeit3 unfused", "mmcv, compiled", "deformops"} <= {c.name for c in cases[2].contenders}


@pytest.mark.parametrize("shapes", [injector_shapes(get_arch("tiny"), 64, batch=2), pixel_decoder_shapes(64, batch=1)])
def test_offsets_keep_away_from_borders_of_cells(shapes):
    value, references, offsets, logits = projected_problem(shapes, "cpu", torch.bfloat16)
    fused_ms_deform_attn(value, shapes.levels, references, offsets, logits)
    sizes = torch.tensor([(w, h) for h, w in shapes.levels])[:, None]
    between = (references[:, :, None, :, None] * sizes + offsets.float() - 0.5) % 1
    assert between.min() > 0.05
    assert between.max() < 0.95


@pytest.mark.parametrize("spread", ["near", "anywhere"])
def test_points_keep_away_from_borders_of_cells(spread):
    shapes = injector_shapes(get_arch("tiny"), 64)
    value, locations, weights = problem(shapes, spread, "cpu", torch.float32)
    ms_deform_attn(value, shapes.levels, locations, weights)
    sizes = torch.tensor([(w, h) for h, w in shapes.levels])[:, None]
    between = (locations * sizes - 0.5) % 1
    assert between.min() > 0.005
    assert between.max() < 0.995
    torch.testing.assert_close(weights.sum((-2, -1)), torch.ones_like(weights[..., 0, 0]))
