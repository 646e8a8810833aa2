import pytest
import torch
from torch import nn

from mmbeit3.engine.optimizers import BFloat16OptimWrapper, bfloat16
from mmbeit3.registry import OPTIM_WRAPPERS


def wrap(model, **options):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return OPTIM_WRAPPERS.build({"type": "mmbeit3.BFloat16OptimWrapper", "optimizer": optimizer, **options})


@pytest.mark.parametrize("fast", [True, False])
def test_dtypes(monkeypatch, fast):
    monkeypatch.setattr(bfloat16, "multiplies_bfloat16", lambda device: fast)
    model = nn.Linear(8, 8)
    wrapper = wrap(model, clip_grad={"max_norm": 1.0})
    assert isinstance(wrapper, BFloat16OptimWrapper)
    x = torch.randn(4, 8)
    before = model.weight.detach().clone()
    with wrapper.optim_context(model):
        y = model(x)
        loss = y.float().square().mean()
    assert y.dtype == wrapper.cast_dtype == (torch.bfloat16 if fast else torch.float32)
    torch.testing.assert_close(y.float(), x @ before.T + model.bias, atol=0.05, rtol=0.05)
    wrapper.update_params(loss)
    assert model.weight.dtype == torch.float32
    assert not torch.equal(model.weight, before)


def test_gradient_accumulation():
    """Two half steps equal one step of both."""
    torch.manual_seed(0)
    models = [nn.Linear(8, 1), nn.Linear(8, 1)]
    models[1].load_state_dict(models[0].state_dict())
    x = torch.randn(4, 8)
    whole, halves = wrap(models[0]), wrap(models[1], accumulative_counts=2)
    halves.initialize_count_status(models[1], 0, 2)
    for wrapper, model, parts in ((whole, models[0], [x]), (halves, models[1], [x[:2], x[2:]])):
        for part in parts:
            with wrapper.optim_context(model):
                loss = model(part).float().mean()
            wrapper.update_params(loss)
    torch.testing.assert_close(models[0].weight, models[1].weight, atol=1e-3, rtol=1e-2)


def test_which_devices(monkeypatch):
    monkeypatch.setattr(bfloat16.platform, "machine", lambda: "x86_64")
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: False, raising=False)
    assert not bfloat16.multiplies_bfloat16(torch.device("cpu"))
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    assert bfloat16.multiplies_bfloat16(torch.device("cpu"))
    monkeypatch.setattr(bfloat16.platform, "machine", lambda: "arm64")
    assert not bfloat16.multiplies_bfloat16(torch.device("cpu"))
    assert not bfloat16.multiplies_bfloat16(torch.device("mps"))
