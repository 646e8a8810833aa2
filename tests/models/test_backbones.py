import pytest
import torch

from mmbeit3.checkpoint import load_checkpoint
from mmbeit3.errors import UserError
from mmbeit3.models.backbones import BEiT3Vision, ViTAdapter
from mmbeit3.models.beit3 import WindowOrder
from mmbeit3.ops import attend
from tests.goldens import ARCH, golden

GN = {"type": "GN", "num_groups": 8}


def adapter(norm_cfg=GN, **options):
    vit = {"type": "mmbeit3.BEiT3Vision", "arch": {**ARCH, **options.pop("arch", {})}, **options.pop("vit", {})}
    defaults = {"interaction_indexes": [(i, i) for i in range(4)], "conv_inplane": 16, "deform_num_heads": 3}
    return ViTAdapter(vit, norm_cfg=norm_cfg, **{**defaults, **options})


@pytest.mark.parametrize("index", [0, 1])
def test_adapter_equals_the_reference(index):
    reference = golden("beit3_tiny_a.npz")
    model = adapter(norm_cfg=None).eval()
    report = load_checkpoint(model, reference["weights"])
    assert report.missing == []
    with torch.no_grad():
        maps = model(reference[f"adapter/{index}/image"])
    for level, ours in enumerate(maps, start=1):
        torch.testing.assert_close(ours, reference[f"adapter/{index}/f{level}"], atol=2e-4, rtol=0)


@pytest.mark.parametrize("patch_size", [14, 16])
@pytest.mark.parametrize("size", [(32, 32), (65, 99), (70, 33)])
def test_any_image_size_and_patch(patch_size, size):
    model = adapter(arch={"patch_size": patch_size}).train()
    maps = model(torch.randn(1, 3, *size))
    for m, stride in zip(maps, (4, 8, 16, 32), strict=True):
        assert tuple(m.shape) == (1, 48, -(-size[0] // stride), -(-size[1] // stride))
    sum(m.square().mean() for m in maps).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(dtype):
    model = adapter().eval()
    image = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        full = model(image)
        half = model.to(dtype)(image.to(dtype))
    for a, b in zip(full, half, strict=True):
        assert b.dtype == dtype
        assert (a - b.float()).abs().mean() < 0.05


def test_adapter_checkpointing_changes_nothing():
    model = adapter(init_value=0.5)
    image = torch.randn(1, 3, 64, 96)
    gradients = []
    for with_cp in (False, True):
        model.with_cp = model.vit.with_cp = with_cp
        model.zero_grad()
        sum(m.square().sum() for m in model(image)).backward()
        gradients.append([p.grad.clone() for p in model.parameters()])
    torch.testing.assert_close(*gradients)


def test_frozen_vit():
    model = adapter(freeze_vit=True).train()
    assert not model.vit.training
    sum(m.sum() for m in model(torch.randn(1, 3, 64, 64))).backward()
    assert all(p.grad is None for p in model.vit.parameters())
    assert model.interactions[0]["extractor"].attn.value_proj.weight.grad is not None


def test_without_injectors_the_vit_is_untouched(monkeypatch):
    """A frozen ViT then needs no backward pass, and gives the stages that it gives alone."""
    model = adapter(freeze_vit=True, use_injectors=False).train()
    assert not [name for name, _ in model.named_parameters() if "injector" in name]
    seen = []
    run = model.vit.run
    monkeypatch.setattr(model.vit, "run", lambda *args: seen.append(run(*args)) or seen[-1])
    image = torch.randn(1, 3, 64, 96)
    sum(m.sum() for m in model(image)).backward()
    assert not any(tokens.requires_grad for tokens in seen)
    tokens, grid = model.vit.embed_image(image)
    torch.testing.assert_close(seen[-1], run(tokens, grid, 0, model.vit.num_layers))
    trained = [p for name, p in model.named_parameters() if not name.startswith("vit.")]
    assert all(p.grad is not None for p in trained)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"interaction_indexes": [(0, 1), (3, 3)]}, "in order"),
        ({"interaction_indexes": [(0, 3)]}, "needs four interactions"),
        ({"vit_feature": "first"}, "'stages' or 'last'"),
        ({"deform_num_heads": 5}, "must be a positive multiple of num_heads 5"),
    ],
)
def test_bad_adapter(options, reason):
    with pytest.raises(ValueError, match=reason):
        adapter(**options)


@pytest.mark.parametrize("grid", [(6, 6), (5, 8), (3, 2)])
@pytest.mark.parametrize("num_prefix", [0, 1, 3])
def test_windows_equal_masked_global_attention(grid, num_prefix):
    size, (h, w) = 4, grid
    q, k, v = torch.randn(3, 2, 2, num_prefix + h * w, 5).unbind()
    y, x = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    window = (y // size * 100 + x // size).flatten()
    mask = torch.ones(num_prefix + h * w, num_prefix + h * w, dtype=torch.bool)
    mask[num_prefix:, num_prefix:] = window[:, None] == window[None]
    order = WindowOrder(grid, size, num_prefix)
    ordered = [order.enter(t.transpose(1, 2).flatten(2)).unflatten(2, (2, -1)).transpose(1, 2) for t in (q, k, v)]
    attended = order.leave(order.attend(*ordered).transpose(1, 2).flatten(2)).unflatten(2, (2, -1)).transpose(1, 2)
    torch.testing.assert_close(attended, attend(q, k, v, mask))


def test_window_as_large_as_the_grid_is_global():
    windowed = BEiT3Vision(ARCH, window_size=7).eval()
    plain = BEiT3Vision(ARCH).eval()
    plain.load_state_dict(windowed.state_dict())
    image = torch.randn(1, 3, 80, 112)
    with torch.no_grad():
        torch.testing.assert_close(windowed(image), plain(image))
        windowed.window_size = 2
        assert (windowed(image)[0] - plain(image)[0]).abs().max() > 1e-3
        windowed.global_indices = {0, 1, 2, 3}
        torch.testing.assert_close(windowed(image), plain(image))


def test_out_indices_and_frozen_stages():
    model = BEiT3Vision(ARCH, out_indices=(0, -1), frozen_stages=2).train()
    first, last = model(torch.randn(1, 3, 64, 64))
    assert first.shape == last.shape == (1, 48, 4, 4)
    last.sum().backward()
    trained = {name.split(".")[1] for name, p in model.named_parameters() if p.grad is not None}
    assert trained == {"2", "3"}
    assert not model.layers[1].training
    assert model.layers[2].training


@pytest.mark.parametrize(
    "options",
    [{"out_indices": (4,)}, {"out_indices": (2, 1)}, {"frozen_stages": 9}, {"global_indices": (7,)}, {"image_size": 8}],
)
def test_bad_backbone(options):
    with pytest.raises(ValueError, match=r"out_indices|frozen_stages|global_indices|image_size"):
        BEiT3Vision(ARCH, **options)


def test_init_gain_scales_what_is_added_to_the_prior():
    models = []
    for gain in (0.1, 1.0):
        torch.manual_seed(0)
        models.append(adapter(init_gain=gain))
    small, reference = models
    for name, parameter in reference.named_parameters():
        scaled = name == "up.weight" or ("extractor" in name and name.endswith("output_proj.weight"))
        torch.testing.assert_close(small.get_parameter(name), 0.1 * parameter if scaled else parameter)


def test_init_cfg_as_a_list(tmp_path):
    """MMEngine also takes lists."""
    torch.manual_seed(1)
    source = BEiT3Vision(ARCH)
    torch.save(source.state_dict(), tmp_path / "vit.pth")
    load = {"type": "Pretrained", "checkpoint": str(tmp_path / "vit.pth")}
    vit = BEiT3Vision(ARCH, init_cfg=[load])
    vit.init_weights()
    assert torch.equal(vit.embed.proj.weight, source.embed.proj.weight)
    normal = {"type": "Normal", "layer": "Conv2d", "std": 5.0}
    with pytest.raises(UserError, match="init_cfg of BEiT3Vision has 2 entries, one of them 'Pretrained'"):
        BEiT3Vision(ARCH, init_cfg=[load, normal]).init_weights()
    # Other types are MMEngine's, and do not replace a loaded ViT.
    model = adapter(vit={"init_cfg": load}, init_cfg=normal)
    model.init_weights()
    assert torch.equal(model.vit.embed.proj.weight, source.embed.proj.weight)
    assert next(part for part in model.spm.modules() if isinstance(part, torch.nn.Conv2d)).weight.std() > 3


@pytest.mark.parametrize("fused", [False, True])
def test_positions_of_another_size_follow_the_optimizer(fused):
    vit = BEiT3Vision(ARCH, image_size=64)
    optimizer = torch.optim.AdamW(vit.parameters(), lr=0.1, fused=fused)
    image, other = torch.randn(2, 3, 64, 64), torch.randn(1, 3, 96, 64)
    for _ in range(2):
        vit.train()
        optimizer.zero_grad()
        vit(image)[0].square().mean().backward()
        optimizer.step()
        vit.eval()
        with torch.no_grad():
            found = vit(other)[0]
            again = BEiT3Vision(ARCH, image_size=64).eval()
            again.load_state_dict(vit.state_dict())
            assert torch.equal(found, again(other)[0])
