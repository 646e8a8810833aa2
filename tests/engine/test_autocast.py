"""Training in bfloat16 on CPUs."""

import torch
from mmengine.model import BaseModel
from mmengine.optim import build_optim_wrapper

import mmbeit3.registry  # noqa: F401


class Model(BaseModel):
    """A linear layer that notes the dtype of its result."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(4, 4)

    def forward(self, inputs, data_samples=None, mode="loss"):
        self.result = self.linear(inputs)
        return {"loss": self.result.float().square().mean()}


def test_forward_in_bfloat16_weights_in_float32():
    model = Model()
    wrapper = build_optim_wrapper(model, {"type": "mmbeit3.BFloat16OptimWrapper", "optimizer": {"type": "SGD", "lr": 0.1}})
    before = model.linear.weight.detach().clone()
    model.train_step({"inputs": torch.ones(2, 4)}, wrapper)
    assert model.result.dtype == torch.bfloat16
    assert model.linear.weight.dtype == torch.float32
    assert not torch.equal(model.linear.weight, before)
    assert not torch.is_autocast_enabled("cpu")
    assert wrapper.cast_dtype == torch.bfloat16
