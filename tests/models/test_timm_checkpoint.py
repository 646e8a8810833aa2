"""``TimmViT(checkpoint=...)``: files of each family in each layout, at other image sizes, give timm's features."""

import json

import pytest
import timm
import torch
from mmengine.config import Config
from mmengine.model import BaseModule
from safetensors.torch import save_file
from timm.layers import resample_abs_pos_embed

from benchmarks.preset.iteration_step import _without_checkpoints
from mmbeit3.errors import UserError
from mmbeit3.inference.loading import build_trained
from mmbeit3.inference.published import prediction_config
from mmbeit3.models.backbones import TimmViT
from mmbeit3.registry import MODELS
from tests.models.vits import (
    DINO,
    DINO3,
    DINOV2,
    DINOV3,
    EVA02,
    NEW,
    OLD,
    REGISTERS,
    SIGLIP,
    authors_eva02,
    build_small,
    features,
    meta_dinov2,
    meta_dinov3,
    state_of,
    timms,
    transformers,
    whole,
)
from tests.paths import shared

GOOGLE = "vit_base_patch16_siglip_224"
LAYERS = [name.replace("layers", "layer") for name in NEW]
SELF_ATTENTION = [f"encoder.layers.{{i}}.self_attn.{part}_proj" for part in "qkv"]


@pytest.fixture(autouse=True)
def small(monkeypatch):
    return build_small(monkeypatch)


def siglip(state):
    tower = {key: tensor for key, tensor in state.items() if not key.startswith("attn_pool")}
    return {f"vision_model.{key}": tensor for key, tensor in transformers(tower, SIGLIP, SELF_ATTENTION).items()}


FILES = {
    "DINOv2, timm": (DINOV2, dict),
    "DINOv2, Meta": (DINOV2, meta_dinov2),
    "DINOv2, transformers": (DINOV2, lambda state: transformers(meta_dinov2(state), DINO, OLD)),
    "DINOv2 with registers, Meta": (REGISTERS, meta_dinov2),
    "DINOv2 with registers, transformers": (REGISTERS, lambda state: transformers(meta_dinov2(state), DINO, OLD)),
    "DINOv3, timm": (DINOV3, dict),
    "DINOv3, Meta": (DINOV3, meta_dinov3),
    "DINOv3, transformers": (DINOV3, lambda state: transformers(state, DINO3, LAYERS)),
    "EVA-02, timm": (EVA02, dict),
    "EVA-02, authors": (EVA02, authors_eva02),
    "SigLIP, timm": (GOOGLE, dict),
    "SigLIP, transformers": (GOOGLE, siglip),
}


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
@pytest.mark.parametrize("file", FILES)
def test_files_at_another_size(file, suffix, tmp_path):
    name, rename = FILES[file]
    p = timm.create_model(name).patch_embed.feat_ratio()
    source = whole(name, 4 * p, num_classes=0)
    state = {key: tensor.contiguous().clone() for key, tensor in rename(state_of(source)).items()}
    path = tmp_path / f"weights.{suffix}"
    save_file(state, path) if suffix == "safetensors" else torch.save({"model": state}, path)
    size = (3 * p, 6 * p)
    vit = TimmViT(name, image_size=size, final_norm=True, checkpoint=str(path))
    vit.init_weights()
    # The reference is timm's own model with timm's resampling of the table.
    wanted = timm.create_model(name, img_size=size, num_classes=0, dynamic_img_size=True).eval()
    weights = state_of(source)
    if source.pos_embed is not None:
        prefix = 0 if source.no_embed_class else source.num_prefix_tokens
        weights["pos_embed"] = resample_abs_pos_embed(weights["pos_embed"], (3, 6), (4, 4), prefix)
        torch.testing.assert_close(vit.model.pos_embed, weights["pos_embed"], atol=1e-6, rtol=1e-6)
    wanted.load_state_dict(weights)
    image = torch.randn(1, 3, *size)
    torch.testing.assert_close(features(vit, image), timms(wanted, image), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("size", [(196, 196), (252, 336), 518, (140, 280)])
def test_released_weights(size, small, monkeypatch):
    """Features of a file of 16 bits whose table has 37x37 patches, against timm's own loading of it."""
    monkeypatch.setattr(timm, "create_model", small)
    path = shared("real", "weights", "dinov2_vits14_timm.safetensors")
    vit = TimmViT(DINOV2, image_size=size, final_norm=True, checkpoint=path)
    vit.init_weights()
    theirs = timm.create_model(
        DINOV2,
        pretrained=True,
        pretrained_cfg_overlay={"file": str(path), "num_classes": 0},
        img_size=size,
        num_classes=0,
        dynamic_img_size=True,
    ).eval()
    torch.testing.assert_close(vit.model.pos_embed, theirs.pos_embed, atol=1e-6, rtol=1e-6)
    image = torch.randn(1, 3, *(size if isinstance(size, tuple) else (182, 126)))
    ours, wanted = features(vit, image), timms(theirs, image)
    assert torch.cosine_similarity(ours, wanted).min() > 0.9999
    torch.testing.assert_close(ours, wanted, atol=1e-4, rtol=1e-4)


def test_wrong_files(tmp_path):
    path = tmp_path / "vit.safetensors"

    def refusal():
        with pytest.raises(UserError) as error:
            TimmViT(DINOV2, image_size=56, checkpoint=str(path)).init_weights()
        assert "\n" not in str(error.value)
        assert str(path) in str(error.value)
        return str(error.value)

    assert "does not exist" in refusal()
    save_file(state_of(whole(DINOV2, 56, embed_dim=96, num_heads=6)), path)
    assert "does not belong to timm's 'vit_small_patch14_dinov2': cls_token is 1x1x96 in the file and 1x1x48" in refusal()
    save_file(state_of(whole(DINOV2, 56, depth=3)), path)
    assert "it has blocks.2." in refusal()
    path.write_bytes(path.read_bytes()[:-1000])
    assert "truncated" in refusal()
    path.write_bytes(b"")
    assert "empty" in refusal()


@pytest.mark.parametrize("other", [{"pretrained": True}, {"init_cfg": {"type": "Pretrained", "checkpoint": "b.pth"}}])
def test_two_sources_of_weights(other):
    with pytest.raises(ValueError, match=rf"^both checkpoint='a\.pth' and {next(iter(other))}.*: remove one of them$"):
        TimmViT(DINOV2, checkpoint="a.pth", **other)


def test_the_file_is_not_needed_where_trained_weights_follow():
    """Building the model does not read the file, and published configs and benchmarks do not name it."""
    backbone = {"type": "mmbeit3.TimmViT", "model_name": DINOV2, "image_size": 56, "checkpoint": "none.safetensors"}
    TimmViT(**{key: value for key, value in backbone.items() if key != "type"})
    model = {"type": "EncoderDecoder", "backbone": {"type": "mmbeit3.ViTAdapter", "vit": backbone}}
    dataset = {"type": "BaseSegDataset", "metainfo": {"classes": ["a"]}, "pipeline": []}
    cfg = Config({"default_scope": "mmseg", "model": model, "test_dataloader": {"dataset": dataset}})
    for made in (prediction_config(cfg), _without_checkpoints(model)):
        assert "none.safetensors" not in json.dumps(made)
        assert DINOV2 in json.dumps(made)


def test_predictions_download_nothing(tmp_path, monkeypatch):
    """``pretrained=True`` and ``checkpoint`` of the training do not matter to a trained model."""
    downloads = []
    create = timm.create_model
    monkeypatch.setattr(
        timm, "create_model", lambda name, **options: downloads.append(options.pop("pretrained")) or create(name, **options)
    )
    source = TimmViT(DINOV2, image_size=56)
    torch.save({"state_dict": source.state_dict()}, tmp_path / "trained.pth")
    for initial in ({"pretrained": True}, {"checkpoint": "none.pth"}):
        cfg = Config({"model": {"type": "mmbeit3.TimmViT", "model_name": DINOV2, "image_size": 56, **initial}})
        trained = build_trained(cfg, tmp_path / "trained.pth", "cpu")
        torch.testing.assert_close(trained.state_dict(), source.state_dict())
    assert not any(downloads)


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "eva02_tiny_patch14_224"])
@pytest.mark.parametrize("adapter", [False, True])
def test_pretrained_weights_are_kept(name, adapter, monkeypatch):
    """MMEngine initializes a model once more before training, timm's networks included."""
    state = {key: torch.full_like(value, 7) for key, value in timm.create_model(name, num_classes=0).state_dict().items()}
    create, overlay = timm.create_model, {"state_dict": state, "num_classes": 0}
    monkeypatch.setattr(timm, "create_model", lambda *args, **options: create(*args, pretrained_cfg_overlay=overlay, **options))
    cfg = {"type": "mmbeit3.TimmViT", "model_name": name, "pretrained": True}
    if adapter:
        parts = {"interaction_indexes": [[0, 0], [1, 1]], "vit_feature": "last", "deform_num_heads": 3}
        cfg = {"type": "mmbeit3.ViTAdapter", "vit": cfg, "norm_cfg": {"type": "mmbeit3.LN2d"}, **parts}
    model = BaseModule()
    model.backbone = MODELS.build(cfg)
    model.init_weights()
    weights = (model.backbone.vit if adapter else model.backbone).model.named_parameters()
    assert [key for key, value in weights if not bool((value == 7).all())] == []
