# Mask2Former with DINOv2 (timm: vit_base_patch14_reg4_dinov2) and ViT-Adapter on ADE20K at 512. Source: the BEiT-3 base config,
# of which it differs by the ViT. `pretrained=True` has timm fetch its weights. Not trained here.
_base_ = "../ade20k/beit3-adapter-b_mask2former_8xb2-160k_ade20k-512x512.py"
_base_.model.backbone.vit = dict(
    type="mmbeit3.TimmViT", model_name="vit_base_patch14_reg4_dinov2", pretrained=True, image_size=518, drop_path_rate=0.2
)
