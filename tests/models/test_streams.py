"""Several streams in one pass have the values and gradients of separate passes."""

import pytest
import torch

from mmbeit3.models.beit3 import BEiT3, Stream, run_streams
from tests.goldens import ARCH

VARIANTS = {"released": {}, "paper": {"attention": "shared", "num_fusion_layers": 2}}


def streams():
    image, more = torch.randn(2, 3, 64, 64), torch.randn(3, 3, 64, 96)
    tokens = torch.randint(0, 300, (3, 9))
    padding = torch.arange(9) >= torch.tensor([[9], [4], [6]])
    return {
        "images": Stream(image=image, masked_positions=torch.rand(2, 16) < 0.4),
        "texts": Stream(tokens=tokens, padding_mask=padding),
        "pairs": Stream(image=more, tokens=tokens, padding_mask=padding, masked_positions=torch.rand(3, 24) < 0.4),
        "captions": Stream(image=more, tokens=tokens[:, :5], causal_text=True),
    }


def separately(network, stream):
    return network(stream.image, stream.tokens, stream.padding_mask, stream.masked_positions, stream.causal_text)


def visible(output, stream):
    """Return the defined positions: all except padding."""
    language = output.language
    if language is not None and stream.padding_mask is not None:
        language = language[~stream.padding_mask]
    return [t for t in (output.vision, language) if t is not None]


@pytest.mark.parametrize("with_cp", [False, True])
@pytest.mark.parametrize("variant", VARIANTS)
def test_equals_separate_passes(variant, with_cp):
    network = BEiT3(ARCH, with_cp=with_cp, **VARIANTS[variant])
    given = list(streams().values())
    parameters = dict(network.named_parameters())

    def gradients(outputs):
        loss = sum(t.square().sum() for pair in zip(outputs, given, strict=True) for t in visible(*pair))
        return dict(zip(parameters, torch.autograd.grad(loss, parameters.values(), allow_unused=True), strict=True))

    together, apart = run_streams(network, given), [separately(network, stream) for stream in given]
    for ours, theirs, stream in zip(together, apart, given, strict=True):
        torch.testing.assert_close(visible(ours, stream), visible(theirs, stream), atol=1e-5, rtol=1e-5)
    found, expected = gradients(together), gradients(apart)
    for name in parameters:
        if expected[name] is None:
            assert found[name] is None, name
        else:
            scale = expected[name].abs().max().clamp(min=1.0)
            assert ((found[name] - expected[name]) / scale).abs().max() < 1e-5, name


@pytest.mark.parametrize("name", ["images", "texts", "pairs", "captions"])
def test_one_stream(name):
    network = BEiT3(ARCH).eval()
    stream = streams()[name]
    with torch.no_grad():
        (ours,) = run_streams(network, [stream])
        torch.testing.assert_close(visible(ours, stream), visible(separately(network, stream), stream), atol=1e-5, rtol=1e-5)


def test_padding_costs_nothing():
    network = BEiT3(ARCH).eval()
    rows = []
    network.language.layers[0].ffn.fc1.register_forward_hook(lambda module, inputs, output: rows.append(len(inputs[0])))
    given = streams()
    run_streams(network, [given["texts"], given["pairs"]])
    assert rows == [2 * (9 + 4 + 6)]


def test_stochastic_depth_drops_whole_samples():
    network = BEiT3(ARCH, drop_path_rate=0.9).train()
    image = torch.randn(1, 3, 64, 64).expand(64, -1, -1, -1)
    (output,) = run_streams(network, [Stream(image=image)])
    # Samples differ by what was dropped alone; without a drop they are equal.
    assert len({round(value, 4) for value in output.vision[:, 1, 0].tolist()}) > 3
    network.eval()
    (output,) = run_streams(network, [Stream(image=image)])
    torch.testing.assert_close(output.vision, output.vision[:1].expand_as(output.vision))


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="needs image"):
        run_streams(BEiT3(ARCH), [Stream()])
