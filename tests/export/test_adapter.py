"""Exported ViT-Adapters, with deformable attention."""

import pytest

from mmbeit3.export import FORMATS, compare_backbone_outputs, trace
from tests.export.models import ARCH, SIZES, adapter

pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def traced():
    # The norms of the configs; SyncBN becomes batch norm in a single process.
    model = adapter({**ARCH, "num_layers": 1})
    return model, trace(model, (96, 118))


@pytest.mark.slow
@pytest.mark.parametrize("to", FORMATS)
def test_equals_the_backbone_at_any_size(traced, to):
    model, program = traced
    for difference in compare_backbone_outputs(model, FORMATS[to].load(FORMATS[to].serialize(program, None)), SIZES):
        assert max(difference.max_errors) < 1e-4, difference
        assert max(difference.max_values) < 100


@pytest.mark.slow
def test_patches_beside_the_adapters_grids():
    """Patch size 14 of the giant model, whose weights exceed the limit of an ONNX file."""
    model = adapter({**ARCH, "num_layers": 1, "patch_size": 14, "image_size": 56})
    form = FORMATS["torch"]
    for difference in compare_backbone_outputs(model, form.load(form.serialize(trace(model, (96, 118)), None)), SIZES):
        assert max(difference.max_errors) < 1e-4, difference
