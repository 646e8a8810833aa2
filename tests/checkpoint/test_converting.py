"""Conversion between layouts: bit-exact round trips, refusals, and comparison with timm."""

import pytest
import timm
import torch

from mmbeit3.checkpoint import (
    LAYOUTS,
    LazyTensor,
    convert,
    detect_layout,
    load_checkpoint,
    read_lazily,
    read_state_dict,
    write_checkpoint,
    write_safetensors,
)
from mmbeit3.errors import UserError
from mmbeit3.models.backbones import BEiT3Vision, ViTAdapter
from mmbeit3.models.beit3 import BEiT3
from mmbeit3.tasks.classification import ClassificationNetwork
from tests.checkpoint.made import official_state
from tests.goldens import ARCH


def lazily(state):
    return {name: LazyTensor(tensor.to("meta"), lambda tensor=tensor: tensor) for name, tensor in state.items()}


def same_bits(tensor, other):
    """Return True if two tensors have the same shape, type and bits. NaN equals NaN."""
    if tensor.shape != other.shape or tensor.dtype != other.dtype:
        return False
    return torch.equal(tensor.contiguous().view(-1).view(torch.int16), other.contiguous().view(-1).view(torch.int16))


@pytest.mark.parametrize(
    ("arch", "count", "millions"), [("base", 491, 220.987), ("large", 971, 672.702), ("giant", 1611, 2114)]
)
def test_round_trip_of_released_sizes(arch, count, millions):
    """Official to mmbeit3, timm, mmbeit3 and official. timm has the vision tower without two rows that are never read."""
    source = official_state(arch)
    assert len(source) == count + 1
    numbers = sum(tensor.shape.numel() for name, tensor in source.items() if name.startswith("beit3."))
    assert numbers / 1e6 == pytest.approx(millions, rel=1e-3)
    ours = convert(source, "mmbeit3")
    assert (ours.source, ours.left_out) == ("official", [])
    back = convert(ours.tensors, "official")
    assert back.left_out == []
    assert back.tensors.keys() == source.keys()
    # The language tower is compared here. The vision tower is compared after the way through timm, below.
    assert all(same_bits(back.tensors[n].load(), source[n].load()) for n in source if ".A." not in n and "vision" not in n)

    theirs = convert(ours.tensors, "timm", vision_only=True)
    assert all(name.startswith(("vision", "language", "mlm_head")) for name in theirs.left_out)
    again = convert(theirs.tensors, "mmbeit3")
    assert again.source == "timm"
    end = convert(again.tensors, "official").tensors
    vision = {name for name in source if ".A." in name or "vision_embed" in name} - {"beit3.vision_embed.mask_token"}
    assert end.keys() == vision
    for name in vision:
        rows = 2 if "embed_positions" in name else 0
        assert same_bits(end[name].load()[rows:], source[name].load()[rows:]), name
    assert not end["beit3.encoder.embed_positions.A.weight"].load()[:2].any()


def test_round_trip_through_files(tmp_path):
    source = {
        name: torch.randn_like(t, dtype=torch.bfloat16)
        for name, t in LAYOUTS["official"].to_theirs(BEiT3(ARCH).state_dict()).items()
    }
    torch.save({"model": source}, tmp_path / "official.pth")
    state = read_lazily(tmp_path / "official.pth")
    for number, (to, suffix) in enumerate(
        [("mmbeit3", "safetensors"), ("official", "pth"), ("mmbeit3", "pth"), ("official", "safetensors")]
    ):
        path = tmp_path / f"{number}.{suffix}"
        write_checkpoint(convert(state, to).tensors, path, "model")
        state = read_lazily(path)
        assert detect_layout(state).name == to
    assert state.keys() == source.keys()
    assert all(same_bits(state[name].load(), source[name]) for name in source)


def test_timm_model_gives_same_features():
    """timm's model with converted weights gives our features, and timm's conversion gives the same weights."""
    from timm.models.vision_transformer import checkpoint_filter_fn

    model = BEiT3Vision("base").eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    state = lazily(model.state_dict())
    theirs = {name: tensor.load() for name, tensor in convert(state, "timm", vision_only=True).tensors.items()}
    peer = timm.create_model("beit3_base_patch16_224").eval()
    keys = peer.load_state_dict(theirs, strict=False)
    assert keys.unexpected_keys == []
    assert set(keys.missing_keys) == {"fc_norm.weight", "fc_norm.bias", "head.weight", "head.bias"}
    image = torch.randn(1, 3, 224, 224)
    with torch.inference_mode():
        (expected,) = model(image)
        found = peer.forward_features(image)[:, 1:].transpose(1, 2).unflatten(2, (14, 14))
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    official = {name: tensor.load() for name, tensor in convert(state, "official", vision_only=True).tensors.items()}
    converted = checkpoint_filter_fn(official, peer)
    assert converted.keys() == theirs.keys()
    assert all(torch.equal(converted[name], theirs[name]) for name in theirs)


def test_tensors_without_place_are_refused_by_name():
    full = lazily(BEiT3(ARCH).state_dict())
    with pytest.raises(UserError, match=r"timm layout, which has no place for .*language.*--vision-only"):
        convert(full, "timm")
    paper = lazily(BEiT3({**ARCH, "attention": "shared", "num_fusion_layers": 1}).state_dict())
    with pytest.raises(UserError, match=r"no place for fusion_ffns\.3\.norm\.weight, .* and 5 more"):
        convert(paper, "official")
    tower = {name: tensor for name, tensor in full.items() if name.startswith("vision.") and "mask_token" not in name}
    assert convert(tower, "timm").unread == ["vision.embed.positions"]  # the two unused rows are not zero
    with pytest.raises(UserError, match="has no known layout"):
        convert(lazily({"conv1.weight": torch.ones(3)}), "official")


def test_networks_inside_larger_models():
    """A task model's network is converted as a whole. A detector's tower needs ``vision_only``."""
    source = BEiT3(ARCH)
    task = lazily({f"network.{name}": tensor for name, tensor in source.state_dict().items()})
    task |= lazily({"network.mlm_head.weight": torch.randn(300, 48)})
    done = convert(task, "official")
    assert done.left_out == []
    assert "mlm_head.weight" in done.tensors
    adapter = ViTAdapter(
        {"type": "mmbeit3.BEiT3Vision", "arch": ARCH},
        [(i, i) for i in range(4)],
        conv_inplane=8,
        deform_num_heads=3,
        norm_cfg={"type": "BN"},
    )
    detector = lazily({f"backbone.{name}": tensor for name, tensor in adapter.state_dict().items()} | {"neck.w": torch.ones(1)})
    with pytest.raises(UserError, match=r"no place for backbone\.level_embed"):
        convert(detector, "official")
    done = convert(detector, "official", vision_only=True)
    assert "neck.w" in done.left_out
    plain = BEiT3Vision(ARCH)
    assert load_checkpoint(plain, {name: tensor.load() for name, tensor in done.tensors.items()}).missing == []
    assert torch.equal(plain.layers[3].ffn.fc2.weight, adapter.vit.layers[3].ffn.fc2.weight)


def test_reference_adapter_with_former_mask2former(tmp_path):
    """The former names are derived from the documentation of mmseg 0.x and mmdet 2.x, not from the table under test."""
    from mmengine.config import Config
    from mmengine.registry import MODELS, init_default_scope

    from tests.paths import ROOT

    cfg = Config.fromfile(ROOT / "configs" / "_base_" / "models" / "mask2former_seg.py").model.decode_head
    init_default_scope("mmseg")
    head = MODELS.build(cfg)
    vit = {"type": "mmbeit3.TimmViT", "model_name": "vit_tiny_patch16_224"}
    adapter = ViTAdapter(vit, [(0, 2), (3, 5), (6, 8), (9, 11)], conv_inplane=8, deform_num_heads=6, norm_cfg={"type": "BN"})
    model = torch.nn.ModuleDict({"backbone": adapter, "decode_head": head})
    former = {}
    for name, tensor in model.state_dict().items():
        name = name.replace("backbone.vit.model.", "backbone.")
        if "pixel_decoder.encoder" in name:
            name = name.replace(".self_attn.", ".attentions.0.").replace(".ffn.", ".ffns.0.")
        if "transformer_decoder" in name:
            name = name.replace(".cross_attn.", ".attentions.0.").replace(".self_attn.", ".attentions.1.")
            name = name.replace(".ffn.", ".ffns.0.")
        former[name] = torch.randn_like(tensor) if tensor.is_floating_point() else tensor
    torch.save({"state_dict": former, "meta": {"CLASSES": ("a", "b")}}, tmp_path / "former.pth")
    assert detect_layout(former).name == "vit_adapter"
    done = convert(read_lazily(tmp_path / "former.pth"), "mmbeit3")
    assert done.tensors.keys() == model.state_dict().keys()
    back = convert(done.tensors, "vit_adapter").tensors
    assert back.keys() == former.keys()
    assert all(torch.equal(back[name].load(), former[name]) for name in former)
    load_checkpoint(model, tmp_path / "former.pth", strict=True)
    assert torch.equal(
        model["decode_head"].transformer_decoder.layers[2].cross_attn.attn.in_proj_weight,
        former["decode_head.transformer_decoder.layers.2.attentions.0.attn.in_proj_weight"],
    )
    torch.nn.init.zeros_(adapter.vit.model.pos_embed)
    assert load_checkpoint(adapter, tmp_path / "former.pth").missing == []
    assert torch.equal(adapter.vit.model.pos_embed, former["backbone.pos_embed"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda state: state.update({"beit3.encoder.layers.1.self_attn.k_proj.A.weight": torch.ones(40, 48)}),
            "does not match|cannot be joined",
        ),
        (
            lambda state: state.update({"beit3.encoder.layers.1.self_attn.k_proj.A.bias": torch.ones(48).half()}),
            "cannot be joined to one tensor",
        ),
        (
            lambda state: state.update({"beit3.encoder.layers.2.ffn.B.fc2.weight": torch.ones(48, 191)}),
            r"has shape 48x191, which does not match",
        ),
        (lambda state: state.update({"beit3.vision_embed.cls_token": torch.ones(48)}), "has shape 48, but must have 3 axes"),
    ],
)
def test_contradicting_sizes_are_refused(change, said):
    state = LAYOUTS["official"].to_theirs(BEiT3(ARCH).state_dict())
    change(state)
    with pytest.raises(UserError, match=said):
        convert(lazily(state), "mmbeit3")


@pytest.mark.parametrize("name", ["vision.norm.weight", "vision_embed.cls_token"])
def test_same_tensor_in_two_layouts_is_refused(name):
    state = LAYOUTS["official"].to_theirs(BEiT3(ARCH).state_dict())
    with pytest.raises(UserError, match=f"has {name} twice"):
        convert(lazily({**state, name: torch.ones(48)}), "mmbeit3")
    ours = {**BEiT3(ARCH).state_dict(), "beit3.text_embed.weight": torch.ones(48)}
    with pytest.raises(UserError, match=r"has beit3\.text_embed\.weight twice"):
        LAYOUTS["official"].to_theirs(ours)


def test_deepspeed_folder(tmp_path):
    state = LAYOUTS["official"].to_theirs(BEiT3(ARCH).half().state_dict())
    step = tmp_path / "step7"
    step.mkdir()
    torch.save({"module": state, "optimizer": None, "ds_version": "0.16"}, step / "mp_rank_00_model_states.pt")
    (tmp_path / "latest").write_text("step7\n")
    for folder in (tmp_path, step):
        read = read_state_dict(folder)
        assert all(torch.equal(read[name], state[name]) for name in state)
    for bad in ("../step7", "..", "/etc", "a\\b/c"):
        (tmp_path / "latest").write_text(bad)
        with pytest.raises(UserError, match="'latest' does not name a folder"):
            read_state_dict(tmp_path)
    (tmp_path / "latest").write_text("step8")
    with pytest.raises(UserError, match="has no weights of DeepSpeed or Hugging Face"):
        read_state_dict(tmp_path)
    torch.save({"module": {name: torch.empty(0) for name in state}}, step / "mp_rank_00_model_states.pt")
    with pytest.raises(UserError, match="zero_to_fp32"):
        read_state_dict(step)


def test_nonfinite_weights_are_refused(tmp_path):
    model = BEiT3(ARCH)
    state = model.state_dict()
    state["vision.layers.1.ffn.fc1.weight"][3, 4] = float("nan")
    state["vision.norm.bias"][3] = float("inf")
    before = BEiT3(ARCH)
    kept = {name: tensor.clone() for name, tensor in before.state_dict().items()}
    with pytest.raises(UserError, match=r"NaN or infinity in vision\.layers\.1\.ffn\.fc1\.weight, vision\.norm\.bias"):
        load_checkpoint(before, state)
    torch.testing.assert_close(before.state_dict(), kept)
    load_checkpoint(before, state, allow_nonfinite=True)
    assert before.vision.norm.bias[3].isinf()
    with pytest.raises(UserError, match="NaN or infinity"):
        write_safetensors(state, tmp_path / "a.safetensors")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.int64, torch.bool]
)
def test_safetensors_types(tmp_path, dtype):
    """The file is read by the safetensors library as well."""
    from safetensors.torch import load_file

    state = {
        "a/../b": torch.randn(3, 5).mul(3).to(dtype),
        "none": torch.empty(0, 4, dtype=dtype),
        "one": torch.tensor(1).to(dtype),
    }
    state |= {"turned": state["a/../b"].T, "float": torch.randn(7)}
    write_safetensors(state, tmp_path / "all.safetensors", {"note": "a \"quoted\" 'é'"})
    for read in (load_file(tmp_path / "all.safetensors"), read_state_dict(tmp_path / "all.safetensors")):
        assert read.keys() == state.keys()
        for name in state:
            assert read[name].dtype == state[name].dtype
            assert read[name].shape == state[name].shape
            assert torch.equal(read[name].double(), state[name].double())
    assert [path.name for path in tmp_path.iterdir()] == ["all.safetensors"]


def test_classifier_converts_to_timm_with_head():
    network = ClassificationNetwork("base", num_classes=5).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    trained = lazily({f"network.{name}": tensor for name, tensor in network.state_dict().items()})
    done = convert(trained, "timm")
    assert done.tensors.keys() == convert(trained, "timm", vision_only=True).tensors.keys()
    peer = timm.create_model("beit3_base_patch16_224", num_classes=5).eval()
    peer.load_state_dict({name: tensor.load() for name, tensor in done.tensors.items()})
    assert done.left_out == []
    image = torch.randn(1, 3, 224, 224)
    with torch.inference_mode():
        torch.testing.assert_close(peer(image), network(image), atol=1e-4, rtol=1e-4)
