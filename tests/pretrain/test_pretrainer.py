"""Views, masks, tokenizer, network and losses in the way in which MMEngine uses them."""

import numpy as np
import pytest
import torch
from mmengine.optim import build_optim_wrapper

from mmbeit3.checkpoint import load_checkpoint
from mmbeit3.errors import UserError
from mmbeit3.models.backbones import BEiT3Vision, ViTAdapter
from mmbeit3.models.beit3 import BEiT3
from mmbeit3.pretrain.checks import leaves_weights_out
from mmbeit3.pretrain.image_tokenizers import VQKD
from mmbeit3.pretrain.pretrainer import BEiT3Pretrainer
from mmbeit3.pretrain.views import Masking, RandomView
from tests.goldens import ARCH, golden

SIZES = {"dims": 32, "depth": 1, "heads": 2, "image_size": 64, "patch_size": 16, "num_codes": 16, "code_dims": 8}


class Letters:
    """A tokenizer with one token per letter."""

    mask_id = 299

    def encode(self, text):
        return [3 + ord(letter) % 200 for letter in text]

    def batch(self, texts, max_length):
        rows = [[0, *self.encode(text)[: max_length - 2], 2] for text in texts]
        length = max(map(len, rows))
        tokens = torch.tensor([row + [1] * (length - len(row)) for row in rows])
        return tokens, tokens == 1


def step(seed=0):
    rng = np.random.default_rng(seed)
    view = RandomView(64)
    images = [rng.integers(0, 256, (80, 100, 3), dtype=np.uint8) for _ in range(2)]
    options = {"grid": (4, 4), "min_num_patches": 2, "tokenizer": Letters()}
    pairs = [{"view": view(image, rng), "text": text} for image, text in zip(images, ("two stars", "a cross"), strict=True)]
    return {
        "images": Masking(**options)([{"view": view(image, rng)} for image in images], rng),
        "texts": Masking(**options)([{"text": "many circles on clouds"}, {"text": "star"}], rng),
        "pairs": Masking(**options, text_ratio=0.5)(pairs, rng),
    }


def test_a_step():
    inputs = step()
    assert inputs["images"]["image"].shape == (2, 3, 64, 64)
    assert inputs["images"]["image"].dtype == torch.uint8
    assert inputs["images"]["masked_positions"].flatten(1).sum(dim=1).tolist() == [6, 6]
    assert inputs["texts"]["masked_words"].sum(dim=1).tolist() == [3, 1]
    assert set(inputs["texts"]) == {"tokens", "padding_mask", "words", "masked_words"}
    # The same seed gives the same step.
    again = step()
    assert all(torch.equal(inputs[name][key], again[name][key]) for name in inputs for key in inputs[name])


def test_views_leave_the_global_generator_alone():
    state = torch.random.get_rng_state()
    RandomView(32)(np.zeros((40, 40, 3), np.uint8), np.random.default_rng(0))
    assert torch.equal(state, torch.random.get_rng_state())


def test_whole_views_keep_left_and_right():
    image = np.zeros((40, 60, 3), np.uint8)
    image[:10, :15] = 200
    kept = RandomView(20, scale=None, color_jitter=0.0, hflip=0.0)
    for seed in range(20):
        view = kept(image, np.random.default_rng(seed)).float()
        assert view[:, :4, :4].min() > 150
        assert view[:, :, 7:].max() < 30
    flipped = RandomView(20, scale=None, color_jitter=0.0, hflip=1.0)
    assert flipped(image, np.random.default_rng(0))[:, :4, -4:].float().min() > 150


def test_trains_with_mmengine():
    model = BEiT3Pretrainer({"arch": ARCH}, SIZES)
    model.init_weights()
    wrapper = build_optim_wrapper(model, {"type": "OptimWrapper", "optimizer": {"type": "AdamW", "lr": 2e-3}})
    before = {name: tensor.clone() for name, tensor in model.tokenizer.state_dict().items()}
    model.train()
    data, losses = {"inputs": step()}, []
    for _ in range(60):
        log = model.train_step(data, wrapper)
        losses.append(log["loss"].item())
    assert losses[-1] < 0.6 * losses[0]
    assert {"pairs.image.accuracy", "pairs.text.accuracy", "texts.text.accuracy", "images.image.accuracy"} <= set(log)
    # The image tokenizer, and with it the targets, does not change.
    assert all(torch.equal(before[name], tensor) for name, tensor in model.tokenizer.state_dict().items())


def test_codes_are_the_tokenizers():
    model = BEiT3Pretrainer({"arch": ARCH}, SIZES).eval()
    stream = step()["images"]
    batch = model._batch(stream)
    assert torch.equal(batch.codes, model.tokenizer.encode(stream["image"].float() / 255))
    torch.testing.assert_close(batch.stream.image, (stream["image"].float() / 255 - 0.5) / 0.5)


def adapter(init_cfg):
    """Build a ViT-Adapter with the arguments of a detector's config."""
    return ViTAdapter(
        {"type": "mmbeit3.BEiT3Vision", "arch": ARCH},
        [(i, i) for i in range(4)],
        conv_inplane=8,
        deform_num_heads=3,
        norm_cfg={"type": "GN", "num_groups": 8},
        init_cfg=init_cfg,
    )


def test_what_it_trains_goes_into_backbones_by_init_cfg_alone(tmp_path):
    model = BEiT3Pretrainer({"arch": ARCH}, SIZES)
    torch.save({"state_dict": model.state_dict()}, tmp_path / "pretrained.pth")
    init_cfg = {"type": "Pretrained", "checkpoint": str(tmp_path / "pretrained.pth")}
    plain, adapted = BEiT3Vision(ARCH, init_cfg=init_cfg), adapter(init_cfg)
    image = torch.randn(1, 3, 64, 64)
    expected, _ = model.network.vision.embed(image)
    for backbone, tower in ((plain, plain), (adapted, adapted.vit)):
        backbone.init_weights()
        found, _ = tower.embed(image)
        torch.testing.assert_close(found, expected)
        for name, value in tower.layers.state_dict().items():
            torch.testing.assert_close(value, model.network.vision.layers.state_dict()[name], msg=name)


def test_what_it_trains_goes_into_the_full_model(tmp_path):
    model = BEiT3Pretrainer({"arch": ARCH}, SIZES)
    torch.save({"state_dict": model.state_dict()}, tmp_path / "pretrained.pth")
    target = BEiT3(ARCH)
    assert not load_checkpoint(target, tmp_path / "pretrained.pth").missing
    torch.testing.assert_close(target.vision.embed.proj.weight, model.network.vision.embed.proj.weight)


def test_pretraining_starts_from_official_files_heads_included(tmp_path):
    official = golden("beit3_tiny_a.npz")["weights"]
    official = {name: value.half() for name, value in official.items() if name.startswith("beit3.")}
    for head, rows in (("mim_head", SIZES["num_codes"]), ("mlm_head", 300)):
        official |= {f"{head}.weight": torch.randn(rows, 48).half(), f"{head}.bias": torch.randn(rows).half()}
    torch.save({"model": official}, tmp_path / "beit3_tiny_patch16_224.pth")
    init_cfg = {"type": "Pretrained", "checkpoint": str(tmp_path / "beit3_tiny_patch16_224.pth")}
    model = BEiT3Pretrainer({"arch": ARCH}, SIZES, init_cfg=init_cfg)
    model.init_weights()
    for head in ("mim_head", "mlm_head"):
        torch.testing.assert_close(model.network.get_parameter(f"{head}.weight"), official[f"{head}.weight"].float())
    torch.testing.assert_close(model.network.language.embed.words.weight, official["beit3.text_embed.weight"].float())


def test_tokenizer_from_a_file(tmp_path):
    tokenizer = VQKD(**SIZES, teacher_dims=24)
    torch.save({"model": tokenizer.state_dict()}, tmp_path / "vqkd.pth")
    model = BEiT3Pretrainer({"arch": ARCH}, {**SIZES, "checkpoint": str(tmp_path / "vqkd.pth")})
    model.init_weights()
    image = torch.rand(2, 3, 64, 64)
    assert torch.equal(model.tokenizer.encode(image), tokenizer.eval().encode(image))
    other = BEiT3Pretrainer({"arch": ARCH}, {**SIZES, "num_codes": 8, "checkpoint": str(tmp_path / "vqkd.pth")})
    with pytest.raises(UserError, match="does not fit: quantize"):
        other.init_weights()


def test_bad_arguments():
    with pytest.raises(ValueError, match="unknown preset"):
        BEiT3Pretrainer({"arch": ARCH}, {"preset": "huge"})
    with pytest.raises(ValueError, match="no mode 'tensor'"):
        BEiT3Pretrainer({"arch": ARCH}, SIZES)(step(), mode="tensor")
    with pytest.raises(ValueError, match="needs a tokenizer"):
        Masking()([{"text": "words"}], np.random.default_rng(0))


@pytest.mark.parametrize("scale", [0.2, (0.5,), (0.0, 1.0), (0.8, 0.5), (0.5, 1.5)])
def test_invalid_scale_is_an_error(scale):
    with pytest.raises(ValueError, match="scale must be a pair"):
        RandomView(20, scale=scale)


def test_scale_bounds_the_area_of_the_crop():
    """In an image of a horizontal ramp, the range of values in a crop is proportional to the crop's width."""
    ramp = np.linspace(0, 255, 200).astype(np.uint8)
    image = np.repeat(np.broadcast_to(ramp, (200, 200))[..., None], 3, axis=2)

    def mean_range(scale):
        view = RandomView(20, scale=scale, color_jitter=0.0, hflip=0.0)
        views = [view(image, np.random.default_rng(seed)).float() for seed in range(40)]
        return np.mean([float(each.max() - each.min()) for each in views])

    # On average the width is about the square root of the area; the aspect ratio varies around 1.
    assert mean_range((0.04, 0.04)) == pytest.approx(255 * 0.2, rel=0.15)
    assert mean_range((0.25, 0.25)) == pytest.approx(255 * 0.5, rel=0.15)


@pytest.mark.parametrize("ratio", [40, -0.1, "0.4"])
@pytest.mark.parametrize("kind", ["image_ratio", "text_ratio"])
def test_invalid_ratio_is_an_error(kind, ratio):
    with pytest.raises(ValueError, match=f"stream 'pairs': {kind} must be a fraction from 0 to 1"):
        Masking(name="pairs", **{kind: ratio})


def test_pairs_with_one_masked_part():
    model = BEiT3Pretrainer({"arch": ARCH}, SIZES)
    inputs = step()
    pair = inputs["pairs"]
    only_text = {key: value for key, value in pair.items() if key != "masked_positions"}
    only_image = {"image": pair["image"], "masked_positions": pair["masked_positions"], "tokens": pair["words"]}
    only_image["padding_mask"] = pair["padding_mask"]
    for stream, part in ((only_text, "text"), (only_image, "image")):
        assert set(model({"pairs": stream})) == {f"pairs.{part}.loss", f"pairs.{part}.accuracy"}
        assert f"pairs.{part}" in model({"pairs": stream}, mode="predict")


@pytest.mark.parametrize(
    ("names", "left_out"),
    [("images", True), ("texts", True), ("pairs", False), ("images texts", False), ("images pairs", False)],
)
def test_weights_without_gradients_are_known(names, left_out):
    model = BEiT3Pretrainer({"arch": ARCH}, SIZES)
    inputs = {name: stream for name, stream in step().items() if name in names}
    model.parse_losses(model(inputs))[0].backward()
    unused = [name for name, value in model.named_parameters() if value.requires_grad and value.grad is None]
    assert bool(unused) == left_out
    streams = {name: {"kind": name} for name in inputs}
    dataset = {"type": "mmbeit3.PretrainSteps", "streams": streams}
    cfg = {"train_dataloader": {"dataset": dataset}, "model": {"network": {}}}
    assert leaves_weights_out(cfg) == left_out
    streams["pairs"] = {"kind": "pairs", "masking": {"text_ratio": None}}
    assert leaves_weights_out(cfg) == ("texts" not in inputs)
