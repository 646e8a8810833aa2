"""The image tokenizer compared with values of the reference, in training, and frozen."""

import pytest
import torch
from torch.nn import functional as F

from mmbeit3.errors import UserError
from mmbeit3.pretrain.image_tokenizers import VQKD, Quantizer, TokenizerViT, codes_for_grid, load_vqkd
from mmbeit3.pretrain.image_tokenizers.quantizer import nearest, spherical_kmeans
from tests.goldens import golden
from tests.processes import run_together

TOLERANCE = {"atol": 1e-4, "rtol": 0}
SIZES = {"dims": 32, "depth": 1, "heads": 2, "image_size": 32, "patch_size": 8, "num_codes": 16, "code_dims": 8}


def tiny(**changes):
    torch.manual_seed(0)
    return VQKD(**{**SIZES, "decoder_depth": 1, "teacher_dims": 12, **changes})


def buffers(module):
    return {name: buffer.clone() for name, buffer in module.named_buffers()}


@pytest.fixture(scope="module")
def reference():
    return golden("vqkd_tiny_a.npz")


@pytest.fixture(scope="module")
def loaded(reference):
    return load_vqkd(reference["weights"], heads=reference["meta"]["heads"])


@torch.no_grad()
def test_reference(reference, loaded):
    codes = loaded.encode(reference["image"])
    assert codes.dtype == torch.int64
    torch.testing.assert_close(codes, reference["codes"], atol=0, rtol=0)
    torch.testing.assert_close(loaded.embed(reference["image"]), reference["embedding"], **TOLERANCE)
    torch.testing.assert_close(loaded.decode(codes), reference["reconstruction"], **TOLERANCE)


def test_layout_is_the_official_one(reference, loaded):
    assert {k: v.shape for k, v in loaded.state_dict().items()} == {k: v.shape for k, v in reference["weights"].items()}


def test_released_sizes():
    with torch.device("meta"):
        model = VQKD.base()
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    assert shapes["encoder.pos_embed"] == (1, 197, 768)
    assert shapes["encoder.blocks.11.attn.qkv.weight"] == (2304, 768)
    assert shapes["decoder.blocks.2.mlp.fc1.weight"] == (3072, 768)
    assert shapes["decoder.patch_embed.proj.weight"] == (768, 32, 1, 1)
    assert shapes["quantize.embedding.weight"] == (8192, 32)
    assert shapes["decode_task_layer.2.weight"] == (512, 768)


@pytest.mark.parametrize("started", [True, False])
def test_evaluation_changes_no_buffer(started):
    model = tiny().eval()
    model.quantize.embedding.initted.fill_(float(started))
    before = buffers(model)
    image = torch.rand(2, 3, 32, 32)
    model.encode(image)
    model(image, torch.randn(2, 16, 12))
    torch.testing.assert_close(buffers(model), before, atol=0, rtol=0)


def test_encoding_in_training_mode_changes_no_buffer():
    model = tiny().train()
    before = buffers(model)
    model.encode(torch.rand(2, 3, 32, 32))
    torch.testing.assert_close(buffers(model), before, atol=0, rtol=0)


def test_training_learns_a_toy_teacher():
    model = tiny().train()
    generator = torch.Generator().manual_seed(1)
    teacher = torch.randn(12, 3 * 8 * 8, generator=generator)
    # Patches of flat colours differ enough for a few codes to distinguish them.
    image = F.interpolate(torch.rand(8, 3, 4, 4, generator=generator), scale_factor=8)
    target = F.unfold(image - 0.5, 8, stride=8).mT @ teacher.T
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses, codebooks = [], []
    for _ in range(30):
        parts = model(image, target)
        optimizer.zero_grad()
        sum(parts.values()).backward()
        optimizer.step()
        losses.append(parts["loss_reconstruction"].item())
        codebooks.append(model.quantize.embedding.weight.clone())
    assert losses[-1] < 0.7 * losses[0], losses
    assert (codebooks[-1] - codebooks[0]).abs().max() > 1e-2
    torch.testing.assert_close(codebooks[-1].norm(dim=-1), torch.ones(16))
    assert model.encode(image).unique().numel() > 1
    assert model.quantize.cluster_size.sum() > 0


def test_gradients_pass_straight_through():
    quantizer = Quantizer(16, 8).eval()
    embeddings = F.normalize(torch.randn(2, 3, 8), dim=-1).requires_grad_()
    vectors, commitment, codes = quantizer(embeddings)
    torch.testing.assert_close(vectors, quantizer.embedding.weight[codes])
    torch.testing.assert_close(commitment, (vectors - embeddings).square().mean())
    weights = torch.randn(2, 3, 8)
    (gradient,) = torch.autograd.grad((vectors * weights).sum(), embeddings)
    torch.testing.assert_close(gradient, weights)


def test_codes_move_by_the_stated_rule():
    quantizer = Quantizer(4, 8, decay=0.9)
    quantizer.embedding.initted.fill_(1)
    before = quantizer.embedding.weight.clone()
    rows = F.normalize(before[:1] + 0.1 * torch.randn(5, 8), dim=-1)
    codes = nearest(rows, before)
    assert codes.tolist() == torch.cdist(rows, before).argmin(dim=1).tolist() == [0] * 5
    quantizer(rows[None])
    moved = F.normalize(0.9 * before[0] + 0.1 * F.normalize(rows.mean(dim=0), dim=-1), dim=-1)
    torch.testing.assert_close(quantizer.embedding.weight, torch.cat([moved[None], before[1:]]))
    torch.testing.assert_close(quantizer.cluster_size, torch.tensor([0.5, 0, 0, 0]))


def test_unused_codes_are_revived():
    generator = torch.Generator().manual_seed(0)
    rows = F.normalize(torch.randn(1, 64, 8, generator=generator), dim=-1)
    used = {}
    for revive_below in (0.0, 0.2):
        torch.manual_seed(0)
        quantizer = Quantizer(16, 8, decay=0.8, revive_below=revive_below).train()
        quantizer.embedding.initted.fill_(1)
        # Codes on the far side of all embeddings, except for one.
        away = -F.normalize(rows[0].mean(dim=0), dim=-1)
        start = F.normalize(away + 0.01 * torch.randn(16, 8), dim=-1)
        start[0] = -away
        quantizer.embedding.weight.copy_(start)
        for _ in range(20):
            quantizer(rows)
        used[revive_below] = len(quantizer.codes(rows).unique())
        torch.testing.assert_close(quantizer.embedding.weight.norm(dim=-1), torch.ones(16))
    assert used[0.0] < 12 < used[0.2]
    with pytest.raises(ValueError, match="from 0 to below 1, got 1"):
        Quantizer(4, 8, revive_below=1)


def test_kmeans_finds_clusters():
    generator = torch.Generator().manual_seed(0)
    truth = torch.eye(8)[:3]
    rows = F.normalize(truth.repeat(20, 1) + 0.02 * torch.randn(60, 8, generator=generator), dim=-1)
    centres, counts = spherical_kmeans(rows, 12)
    assert counts.sum() == 60
    assert (rows @ centres.T).max(dim=1).values.min() > 0.98
    # Fewer rows than centres: no two centres are the same.
    centres, _ = spherical_kmeans(rows[:3], 7)
    assert centres.unique(dim=0).shape[0] == 7


def test_frozen_stays_frozen():
    holder = torch.nn.ModuleDict({"tokenizer": tiny(frozen=True)}).train()
    model = holder["tokenizer"]
    assert not any(module.training for module in model.modules())
    assert not any(p.requires_grad for p in model.parameters())
    before = buffers(model)
    model(torch.rand(2, 3, 32, 32), torch.randn(2, 16, 12))
    torch.testing.assert_close(buffers(model), before, atol=0, rtol=0)
    assert tiny().eval().train().training


def test_projection_is_float32_under_autocast(reference, loaded):
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        embedding = loaded.embed(reference["image"])
    assert embedding.dtype == torch.float32
    torch.testing.assert_close(embedding.norm(dim=-1), torch.ones(embedding.shape[:2]))
    torch.testing.assert_close(embedding, reference["embedding"], atol=0.1, rtol=0)


def test_grids():
    model = tiny().eval()
    image = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(codes_for_grid(model, image, (4, 4)), model.encode(image))
    assert codes_for_grid(model, image, (5, 5)).shape == (2, 25)
    assert codes_for_grid(model, torch.rand(1, 3, 40, 70), (3, 6)).shape == (1, 18)
    assert model.decode(codes_for_grid(model, image, (3, 6)), (3, 6)).shape == (2, 18, 12)


@torch.no_grad()
def test_positions_on_another_grid_are_the_resized_table():
    model = tiny().encoder
    other = TokenizerViT(3, (3, 6), 8, 32, 1, 2)
    table = model.pos_embed[:, 1:].mT.unflatten(2, (4, 4))
    table = F.interpolate(table, (3, 6), mode="bicubic", align_corners=False).flatten(2).mT
    other.load_state_dict({**model.state_dict(), "pos_embed": torch.cat([model.pos_embed[:, :1], table], dim=1)})
    image = torch.rand(2, 3, 24, 48)
    torch.testing.assert_close(model(image), other(image))


def test_bad_inputs():
    model = tiny()
    with pytest.raises(ValueError, match=r"\(B, 3, 32, 32\).*got \(1, 3, 40, 32\)"):
        model.encode(torch.rand(1, 3, 40, 32))
    with pytest.raises(ValueError, match=r"\(B, 16\), got \(1, 9\)"):
        model.decode(torch.zeros(1, 9, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"features must be \(1, 16, 12\)"):
        model(torch.rand(1, 3, 32, 32), torch.rand(1, 16, 13))
    with pytest.raises(ValueError, match="without a decoder"):
        tiny(teacher_dims=None).decode(torch.zeros(1, 16, dtype=torch.int64))
    with pytest.raises(ValueError, match="0 x 4"):
        codes_for_grid(model, torch.rand(1, 3, 32, 32), (0, 4))
    with pytest.raises(ValueError, match="uint8"):
        codes_for_grid(model, torch.zeros(1, 3, 32, 32, dtype=torch.uint8), (4, 4))
    with pytest.raises(ValueError, match="image_size 33 is not a multiple"):
        tiny(image_size=33)
    with pytest.raises(ValueError, match="not a multiple of its 3 heads"):
        tiny(heads=3)


def test_loader_reads_files_and_drops_the_teacher(tmp_path):
    model = tiny(decoder_dims=16)
    foreign = {"teacher_model.weight": torch.ones(1), "scaling_layer.shift": torch.ones(1), "loss.weight": torch.ones(1)}
    torch.save({"model": {**model.state_dict(), **foreign}}, tmp_path / "tokenizer.pth")
    copy = load_vqkd(tmp_path / "tokenizer.pth", heads=2)
    torch.testing.assert_close(copy.state_dict(), model.state_dict(), atol=0, rtol=0)
    assert not copy.training
    alone = load_vqkd(tmp_path / "tokenizer.pth", heads=2, teacher_dims=None, frozen=True)
    assert alone.frozen
    assert not any(name.startswith("deco") for name in alone.state_dict())
    image = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(alone.encode(image), copy.encode(image))
    encoder = {name: value for name, value in model.state_dict().items() if not name.startswith("deco")}
    assert load_vqkd(encoder).teacher_dims is None


def test_loader_names_what_does_not_fit(tmp_path):
    state = tiny().state_dict()
    with pytest.raises(UserError, match=r"does not exist"):
        load_vqkd(tmp_path / "nowhere.pth")
    with pytest.raises(UserError, match=r"not a VQ-KD tokenizer.*encoder\.patch_embed\.proj\.weight is missing"):
        load_vqkd({"weight": torch.ones(1)})
    with pytest.raises(UserError, match=r"encoder\.fc_norm\.bias is missing"):
        load_vqkd({name: value for name, value in state.items() if name != "encoder.fc_norm.bias"})
    with pytest.raises(UserError, match=r"encoder\.gamma is unexpected"):
        load_vqkd({**state, "encoder.gamma": torch.ones(1)})
    with pytest.raises(UserError, match=r"quantize\.embedding\.weight is \(16, 8\) instead of \(20, 8\)"):
        load_vqkd(state, num_codes=20)
    with pytest.raises(UserError, match="not a multiple of its 5 heads"):
        load_vqkd(state, heads=5)
    with pytest.raises(UserError, match="18 rows"):
        load_vqkd({**state, "encoder.pos_embed": torch.ones(1, 18, 32)})


def quantizer_steps(take, revive_below=0.0):
    """Run three training steps of a quantizer from its k-means start; ``take`` selects the images of this process."""
    torch.manual_seed(0)
    quantizer = Quantizer(10, 8, decay=0.8, revive_below=revive_below).train()
    batches = torch.randn(3, 4, 12, 8, generator=torch.Generator().manual_seed(3))
    for batch in F.normalize(batches, dim=-1):
        quantizer(batch[take])
    return quantizer.state_dict()


def worker(rank, folder):
    # Ranks with different numbers of images, as at the end of an epoch.
    take = slice(0, 3) if rank == 0 else slice(3, 4)
    torch.save(quantizer_steps(take), f"{folder}/{rank}.pt")
    # Almost every code is below almost the mean: some are replaced in each step.
    torch.save(quantizer_steps(take, 0.99), f"{folder}/revived-{rank}.pt")


def test_two_processes_equal_one_with_the_whole_batch(tmp_path):
    run_together(worker, tmp_path)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    torch.testing.assert_close(first, second, atol=0, rtol=0)
    torch.testing.assert_close(first, quantizer_steps(slice(None)), atol=1e-5, rtol=1e-5)
    revived, other = (torch.load(tmp_path / f"revived-{rank}.pt", weights_only=True) for rank in (0, 1))
    torch.testing.assert_close(revived, other, atol=0, rtol=0)
    assert not torch.equal(revived["embedding.weight"], first["embedding.weight"])
