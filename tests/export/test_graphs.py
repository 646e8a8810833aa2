"""Exported backbones: outputs at sizes other than that of the tracing."""

import pytest

from mmbeit3.export import FORMATS, compare_backbone_outputs, trace
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
    for difference in compare_backbone_outputs(model, FORMATS[to].load(content), SIZES):
        assert max(difference.max_errors) < 1e-4, difference
    # The file contains no paths of the machine that exported it.
    assert b"site-packages" not in content
    assert b"plain_vit.py" not in content


def test_the_graph_has_pytorchs_operators_only(traced):
    operators = {str(node.target) for node in traced[1].graph.nodes if node.op == "call_function"}
    assert [name for name in operators if not name.startswith(("aten.", "<built-in function"))] == []
