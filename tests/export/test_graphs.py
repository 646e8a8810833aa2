"""Exported graphs compute what the backbones compute, at sizes that they were not traced with."""

import pytest

from mmbeit3.export import FORMATS, compare, trace
from tests.export.models import SIZES, plain, windowed

pytest.importorskip("onnxruntime")
MODELS = {"plain": plain, "windowed": windowed}


@pytest.fixture(scope="module", params=MODELS)
def traced(request):
    model = MODELS[request.param]()
    return model, trace(model, (96, 118))


@pytest.mark.parametrize("to", FORMATS)
def test_equals_the_backbone_at_any_size(traced, to):
    model, program = traced
    content = FORMATS[to].serialize(program, None)
    for difference in compare(model, FORMATS[to].load(content), SIZES):
        assert max(difference.largest) < 1e-4, difference
    # Nothing of the machine that it was made on.
    assert b"site-packages" not in content
    assert b"plain_vit.py" not in content


def test_the_graph_has_pytorchs_operators_only(traced):
    operators = {str(node.target) for node in traced[1].graph.nodes if node.op == "call_function"}
    assert [name for name in operators if not name.startswith(("aten.", "<built-in function"))] == []
