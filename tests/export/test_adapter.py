"""The ViT-Adapter's exported graph, deformable attention included."""

import pytest

from mmbeit3.export import FORMATS, compare, trace
from tests.export.models import ARCH, SIZES, adapter

pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def traced():
    # With norms as in the configs, which on one process are batch norms.
    model = adapter({**ARCH, "num_layers": 1})
    return model, trace(model, (96, 118))


@pytest.mark.slow
@pytest.mark.parametrize("to", FORMATS)
def test_equals_the_backbone_at_any_size(traced, to):
    model, program = traced
    for difference in compare(model, FORMATS[to].load(FORMATS[to].serialize(program, None)), SIZES):
        assert max(difference.largest) < 1e-4, difference
        assert max(difference.values) < 100


@pytest.mark.slow
def test_patches_beside_the_adapters_grids():
    """The giant's 14 pixels, which are too many weights for an ONNX file."""
    model = adapter({**ARCH, "num_layers": 1, "patch_size": 14, "image_size": 56})
    form = FORMATS["torch"]
    for difference in compare(model, form.load(form.serialize(trace(model, (96, 118)), None)), SIZES):
        assert max(difference.largest) < 1e-4, difference
