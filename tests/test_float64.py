"""What comes in float64 is computed in float64 everywhere, constants included."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mmbeit3.checkpoint.resizing import resample_positions, resize_patch_kernel, resize_position_table
from mmbeit3.evaluation import ImageTextRecall
from mmbeit3.models.beit3 import DualEncoder
from mmbeit3.models.layers import DeformableAttention
from mmbeit3.models.losses import contrastive_loss
from mmbeit3.ops import ms_deform_attn, wide_dtype, widened
from mmbeit3.pretrain.image_tokenizers import VQKD, codes_for_grid
from mmbeit3.registry import MODELS
from mmbeit3.tasks.decoding import BeamSearchOptions, beam_search, top_p_words
from tests.export.models import ARCH, adapter, windowed
from tests.tasks.reference import SMALL, inputs

NORM = {"type": "GN", "num_groups": 4}


class Narrow(TorchDispatchMode):
    """Notes operators that make narrower floating numbers of float64 or, but for random ones, of nothing."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        outputs = func(*args, **(kwargs or {}))
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        made = [leaf for leaf in tree_leaves(outputs) if isinstance(leaf, torch.Tensor) and leaf.is_floating_point()]
        source = not given or any(leaf.dtype == torch.float64 for leaf in given)
        if source and "rand" not in str(func) and any(leaf.dtype != torch.float64 for leaf in made):
            self.found.append(str(func))
        return outputs


def test_the_watch_sees_what_it_should():
    with Narrow() as narrow:
        torch.ones(2, dtype=torch.float64).float()
        torch.arange(3.0)
        (torch.ones(2, dtype=torch.float64) > 0).float().mean()
        torch.ones(2, dtype=torch.float64) * 3
    assert [name.split(".")[1] for name in narrow.found] == ["_to_copy", "arange"]


def watched(run):
    """Call with float64 alone; returns what it returns."""
    with Narrow() as narrow:
        results = run()
    assert narrow.found == []
    return results


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.uint8, torch.bool])
def test_widened(dtype):
    tensor = torch.tensor([0, 1]).to(dtype)
    expected = torch.float64 if dtype == torch.float64 else torch.float32
    assert widened(tensor).dtype == wide_dtype(tensor) == expected
    assert wide_dtype(tensor, torch.ones(1)) == expected
    assert wide_dtype(tensor, torch.ones(1, dtype=torch.float64)) == torch.float64
    if tensor.dtype == expected:
        assert widened(tensor) is tensor


def test_deformable_attention():
    """Against the formula, written with the operator alone."""
    shapes = [(3, 5), (7, 2)]
    layer = DeformableAttention(12, 3, 2, 4, ratio=0.5).double()
    for projection in (layer.sampling_offsets, layer.attention_weights):
        torch.nn.init.normal_(projection.weight, std=0.3)
    query, value = torch.randn(2, 4, 12, dtype=torch.float64), torch.randn(2, 29, 12, dtype=torch.float64)
    points = torch.rand(1, 4, 2, 2, dtype=torch.float64)
    found = watched(lambda: layer(query, points, value, shapes))
    sizes = torch.tensor([[5, 3], [2, 7]], dtype=torch.float64)
    offsets = layer.sampling_offsets(query).view(2, 4, 3, 2, 4, 2)
    weights = layer.attention_weights(query).view(2, 4, 3, 8).softmax(-1).view(2, 4, 3, 2, 4)
    locations = points[:, :, None, :, None] + offsets / sizes[:, None]
    expected = layer.output_proj(ms_deform_attn(layer.value_proj(value).view(2, 29, 3, 2), shapes, locations, weights))
    torch.testing.assert_close(found, expected, atol=1e-13, rtol=1e-13)
    # Also right after float32: constants are kept for each type.
    layer.float()(query.float(), points.float(), value.float(), shapes)
    again = layer.double()(query, points, value, shapes)
    assert again.dtype == torch.float64
    assert torch.autograd.gradcheck(lambda q, v: layer(q, points, v, shapes), (query.requires_grad_(), value.requires_grad_()))


def test_initial_directions_of_deformable_attention():
    try:
        torch.set_default_dtype(torch.float64)
        bias = DeformableAttention(12, 3, 1, 1).sampling_offsets.bias.detach()
    finally:
        torch.set_default_dtype(torch.float32)
    # Three heads: to the right, and at angles of a third and two thirds of a circle, of which the longer part is one cell.
    short = 1 / torch.tensor(3.0, dtype=torch.float64).sqrt()
    expected = torch.stack(
        [short.new_tensor(1), short.new_tensor(0), -short, short.new_tensor(1), -short, short.new_tensor(-1)]
    )
    torch.testing.assert_close(bias, expected, atol=1e-14, rtol=0)


# That of the position table; another, of whole patches; one that no stride divides.
@pytest.mark.parametrize("size", [(64, 64), (32, 96), (70, 45)])
@pytest.mark.parametrize("patch_size", [14, 16])
def test_adapter(size, patch_size):
    model = adapter(arch={**ARCH, "patch_size": patch_size}, norm_cfg=NORM).double()
    with torch.no_grad():
        # Sampling points begin on the borders of cells, where the gradient is another on either side.
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    image = torch.randn(1, 3, *size, dtype=torch.float64, requires_grad=True)

    def run():
        maps = model(image)
        return torch.autograd.grad(sum(m.square().sum() for m in maps), image)[0]

    gradient = watched(run)
    # So small that hardly any sampling point goes from one cell to the next.
    step = 1e-7 * torch.randn_like(image)
    with torch.no_grad():
        ahead, behind = (sum(m.square().sum() for m in model(image + sign * step)) for sign in (1, -1))
    assert float((gradient * step).sum()) == pytest.approx(float(ahead - behind) / 2, rel=1e-4)
    single = model.float()(image.detach().float())
    assert all(m.dtype == torch.float32 for m in single)
    for ours, exact in zip(single, model.double()(image), strict=True):
        torch.testing.assert_close(ours.double(), exact, atol=1e-3, rtol=1e-3)


def test_windows():
    model = windowed().double()
    watched(lambda: model(torch.randn(1, 3, 80, 48, dtype=torch.float64)))


def test_positions_and_kernels_are_resized():
    table = torch.randn(1, 1 + 16, 3, dtype=torch.float64)
    found = watched(lambda: resample_positions(table, (4, 4), (5, 7), 1))
    maps = table[:, 1:].unflatten(1, (4, 4)).permute(0, 3, 1, 2)
    expected = torch.nn.functional.interpolate(maps, (5, 7), mode="bicubic").flatten(2).mT
    torch.testing.assert_close(found, torch.cat([table[:, :1], expected], dim=1), atol=0, rtol=0)
    assert torch.equal(watched(lambda: resize_position_table(table[0], (5, 7), 1)), found[0])
    # By its definition: what a resized image gives with the resized kernel is what the image gave.
    kernel, image = torch.randn(2, 3, 4, 4, dtype=torch.float64), torch.randn(1, 3, 4, 4, dtype=torch.float64)
    resized = watched(lambda: resize_patch_kernel(kernel, (7, 6)))
    larger = torch.nn.functional.interpolate(image, (7, 6), mode="bicubic", antialias=True)
    products = [torch.nn.functional.conv2d(*pair) for pair in ((image, kernel), (larger, resized))]
    torch.testing.assert_close(*products, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_resizing_equals_timm_s(dtype):
    from timm.layers import resample_abs_pos_embed, resample_patch_embed

    table, kernel = torch.randn(1, 1 + 16, 3, dtype=dtype), torch.randn(2, 3, 4, 4, dtype=dtype)
    theirs = resample_abs_pos_embed(table, [5, 7], [4, 4], num_prefix_tokens=1, antialias=False)
    assert torch.equal(resample_positions(table, (4, 4), (5, 7), 1), theirs)
    torch.testing.assert_close(resize_patch_kernel(kernel, (6, 5)), resample_patch_embed(kernel, [6, 5]))


SAMPLES = {
    "BEiT3VQA": [{"labels": torch.tensor([1, 4]), "scores": torch.tensor([1.0, 0.3], dtype=torch.float64)}] * 4,
    "BEiT3NLVR2": [{"gt_label": torch.tensor([1])}] * 4,
    "BEiT3Classification": [{"gt_label": torch.tensor([1])}] * 4,
    "BEiT3Retrieval": [{}] * 4,
    "BEiT3Captioning": [{}] * 4,
}
OPTIONS = {
    "BEiT3VQA": {"num_answers": 5},
    "BEiT3Classification": {"mixup": 0, "cutmix": 0},
    "BEiT3Captioning": {"mask_id": 59, "max_length": 8},
}


@pytest.mark.parametrize("task", SAMPLES)
def test_tasks(task):
    model = MODELS.build({"type": f"mmbeit3.{task}", "network": {"arch": SMALL}, **OPTIONS.get(task, {})}).double().eval()
    names = {"BEiT3NLVR2": ("image", "image2", "tokens"), "BEiT3Classification": ("image",)}.get(task, ("image", "tokens"))
    given = {"inputs": inputs(4, names), "data_samples": SAMPLES[task]}
    losses = watched(lambda: model(**given, mode="loss"))
    assert {value.dtype for name, value in losses.items() if "loss" in name} == {torch.float64}
    predicted = model(**given, mode="predict")
    numbers = [v for sample in predicted for k, v in sample.items() if k.startswith(("pred_score", "image_f", "text_f"))]
    assert {value.dtype for value in numbers} <= {torch.float64}
    assert numbers or task == "BEiT3Captioning"


def test_contrastive_loss_tells_small_differences():
    model = DualEncoder(SMALL).double().eval()
    batch = inputs(4)
    features = watched(lambda: model.features(batch["image"].double() / 255, batch["tokens"], batch["padding_mask"]))
    loss, _ = watched(lambda: contrastive_loss(*features, model.logit_scale.exp()))
    scale = model.logit_scale.exp()
    logits = scale * features[0] @ features[1].T
    targets = torch.arange(4)
    expected = sum(torch.nn.functional.cross_entropy(one, targets) for one in (logits, logits.T)) / 2
    torch.testing.assert_close(loss, expected, atol=1e-14, rtol=0)


def test_recall_tells_small_differences():
    metric = ImageTextRecall(topk=(1,))
    one = torch.tensor([1.0, 0], dtype=torch.float64)
    samples = [
        {"image_id": 0, "image_feature": one},
        {"image_id": 0, "text_id": 0, "text_feature": one},
        {"image_id": 1, "text_id": 1, "text_feature": (1 - 1e-12) * one},
    ]
    metric.process(None, samples)
    assert metric.evaluate(3)["retrieval/TR@1"] == 100


class Words:
    """Two captions whose first words differ by less than float32 can tell."""

    def step(self, words, beams=None):
        scores = torch.full((*words.shape, 6), -50.0, dtype=torch.float64)
        scores[..., 4], scores[..., 5] = 1.0, 1.0 + 1e-12
        scores[(words > 3).nonzero(as_tuple=True)] = torch.tensor([-50, -50, 9, -50, -50, -50.0], dtype=torch.float64)
        return scores

    def keep(self, images):
        pass


def test_decoding_tells_small_differences():
    assert beam_search(Words(), torch.zeros(2, dtype=torch.long), BeamSearchOptions(1, 5)) == [[0, 5, 2]] * 2
    logits = torch.tensor([[0.0, 1e-12]], dtype=torch.float64)
    assert {int(top_p_words(logits, 0.4)) for _ in range(20)} == {1}


def test_image_tokenizer():
    sizes = {"dims": 32, "depth": 1, "heads": 2, "image_size": 32, "patch_size": 8, "num_codes": 6, "code_dims": 8}
    model = VQKD(**sizes, decoder_depth=1, teacher_dims=12).double().train()
    image, teacher = torch.rand(4, 3, 32, 32, dtype=torch.float64), torch.randn(4, 16, 12, dtype=torch.float64)
    losses = watched(lambda: model(image, teacher))
    assert {value.dtype for value in losses.values()} == {torch.float64}
    assert {buffer.dtype for buffer in model.buffers()} == {torch.float64}
    watched(lambda: codes_for_grid(model.eval(), image, (3, 5)))
