"""Two processes over gloo compute the same as one process with twice the batch."""

import torch
from torch.nn.parallel import DistributedDataParallel

from mmbeit3.engine.optimizers import LayerDecayOptimWrapperConstructor
from mmbeit3.models.backbones import ViTAdapter
from tests.goldens import ARCH
from tests.processes import run_together

STEPS = 3


class Model(torch.nn.Module):
    """A backbone with a loss that averages over images, like heads."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.backbone = ViTAdapter(
            {"type": "mmbeit3.BEiT3Vision", "arch": ARCH},
            [(i, i) for i in range(4)],
            conv_inplane=8,
            deform_num_heads=3,
            init_value=0.1,
            norm_cfg={"type": "GN", "num_groups": 8},
        )
        self.head = torch.nn.Conv2d(48, 3, 1)

    def forward(self, images):
        return sum(self.head(m).square().mean() for m in self.backbone(images))


def train(model, images):
    parameters = getattr(model, "module", model)
    cfg = {"optimizer": {"type": "AdamW", "lr": 1e-3, "eps": 1e-3}}
    optimizer = LayerDecayOptimWrapperConstructor(cfg, {"layer_decay_rate": 0.8})(parameters).optimizer
    losses = []
    for step in range(STEPS):
        optimizer.zero_grad()
        loss = model(images[step])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses, {name: p.detach().clone() for name, p in parameters.named_parameters()}


def batches():
    return torch.randn(STEPS, 4, 3, 64, 64, generator=torch.Generator().manual_seed(7))


def worker(rank, folder):
    # Without find_unused_parameters: every parameter must take part.
    result = train(DistributedDataParallel(Model()), batches()[:, 2 * rank : 2 * rank + 2])
    torch.save(result, f"{folder}/{rank}.pt")


def test_two_processes_equal_one_with_twice_the_batch(tmp_path):
    run_together(worker, tmp_path)
    (first, weights), (second, others) = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    torch.testing.assert_close(weights, others, atol=0, rtol=0)
    losses, expected = train(Model(), batches())
    torch.testing.assert_close([(a + b) / 2 for a, b in zip(first, second, strict=True)], losses, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(weights, expected, atol=2e-5, rtol=1e-4)
    start = dict(Model().named_parameters())
    assert all(
        (expected[name] - start[name]).abs().max() > 1e-6 for name in ("head.weight", "backbone.vit.layers.0.ffn.fc1.weight")
    )
