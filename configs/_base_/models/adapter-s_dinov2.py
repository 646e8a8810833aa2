# Backbone: DINOv2 ViT-S/14 with a ViT-Adapter, narrow enough for training on two CPU cores. A config takes it with
# `_base_.pop("adapter")`. The file of weights may have timm's, Meta's or Hugging Face's names; docs/real-images.md says where to
# get it.
# Our choice: all values.
adapter = dict(
    type="mmbeit3.ViTAdapter",
    vit=dict(
        type="mmbeit3.TimmViT",
        model_name="vit_small_patch14_dinov2",
        image_size=518,
        init_cfg=dict(type="Pretrained", checkpoint="checkpoints/dinov2_vits14.safetensors"),
    ),
    # All four maps get the features of the last block, which has learned most of what things are.
    vit_feature="last",
    conv_inplane=32,
    deform_num_heads=6,
    use_extra_extractor=False,
    init_gain=0.1,
    norm_cfg=dict(type="BN"),
)
