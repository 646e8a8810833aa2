"""Compare the loss with its definition, in one process and in two."""

import pytest
import torch
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from mmbeit3.models.beit3 import DualEncoder
from mmbeit3.models.losses import contrastive_loss
from tests.goldens import ARCH
from tests.processes import run_together

STEPS = 2


def unit(count, width=16):
    return F.normalize(torch.randn(count, width), dim=-1)


def test_definition():
    images, texts, scale = unit(5), unit(5), torch.tensor(7.0)
    loss, accuracies = contrastive_loss(images, texts, scale)
    similar = (7 * images.double() @ texts.double().t()).exp()
    own = similar.diag()
    expected = -((own / similar.sum(dim=1)).log().mean() + (own / similar.sum(dim=0)).log().mean()) / 2
    torch.testing.assert_close(loss.double(), expected, atol=1e-6, rtol=1e-6)
    row = torch.arange(5)
    assert accuracies["image_to_text"] == (similar.argmax(dim=1) == row).float().mean()
    assert accuracies["text_to_image"] == (similar.argmax(dim=0) == row).float().mean()


def test_partners_and_strangers():
    images = F.normalize(torch.eye(4), dim=-1)
    loss, accuracies = contrastive_loss(images, images, torch.tensor(100.0))
    assert loss < 1e-6
    assert accuracies == {"image_to_text": 1, "text_to_image": 1}
    loss, accuracies = contrastive_loss(images, images.roll(1, 0), torch.tensor(100.0))
    assert loss > 99
    assert accuracies == {"image_to_text": 0, "text_to_image": 0}


def test_float32_under_autocast():
    images, texts, scale = unit(8), unit(8), torch.tensor(50.0)
    expected, _ = contrastive_loss(images, texts, scale)
    with torch.autocast("cpu", torch.bfloat16):
        loss, _ = contrastive_loss(images, texts, scale)
    assert loss == expected
    assert contrastive_loss(images.bfloat16(), texts.bfloat16(), scale.bfloat16())[0].dtype == torch.float32


@pytest.mark.parametrize("shapes", [((4, 8), (3, 8)), ((4, 8), (4, 6)), ((8,), (8,))])
def test_bad_shapes(shapes):
    with pytest.raises(ValueError, match="as many texts as images"):
        contrastive_loss(*(torch.zeros(shape) for shape in shapes), torch.tensor(1.0))


class Model(torch.nn.Module):
    """A dual encoder and its loss in one module, for DDP."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.network = DualEncoder({**ARCH, "num_layers": 2})

    def forward(self, images, tokens):
        features = self.network.features(images, tokens)
        return contrastive_loss(*features, self.network.logit_scale.exp())


def train(model, images, tokens):
    parameters = getattr(model, "module", model)
    optimizer = torch.optim.SGD(parameters.parameters(), lr=0.05)
    losses, gradients = [], []
    for step in range(STEPS):
        optimizer.zero_grad()
        loss, accuracies = model(images[step], tokens[step])
        loss.backward()
        optimizer.step()
        losses.append(torch.stack([loss.detach(), *accuracies.values()]))
        gradients.append({name: p.grad.clone() for name, p in parameters.named_parameters() if p.requires_grad})
    return losses, gradients


def batches():
    generator = torch.Generator().manual_seed(7)
    images = torch.randn(STEPS, 6, 3, 64, 64, generator=generator)
    return images, torch.randint(3, 290, (STEPS, 6, 5), generator=generator)


def worker(rank, folder):
    own = [batch[:, 3 * rank : 3 * rank + 3] for batch in batches()]
    # Without find_unused_parameters: every trainable parameter must take part.
    torch.save(train(DistributedDataParallel(Model()), *own), f"{folder}/{rank}.pt")


def test_two_processes_equal_one_with_the_whole_batch(tmp_path):
    run_together(worker, tmp_path)
    (first, gradients), (second, others) = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    losses, expected = train(Model(), *batches())
    torch.testing.assert_close([(a + b) / 2 for a, b in zip(first, second, strict=True)], losses, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(gradients, others, atol=0, rtol=0)
    torch.testing.assert_close(gradients, expected, atol=1e-5, rtol=1e-5)
    for name in ("network.logit_scale", "network.vision.embed.proj.weight", "network.language.layers.0.ffn.fc1.weight"):
        assert expected[0][name].abs().max() > 1e-4, name
