# Mask2Former with a DINOv2 base ViT-Adapter (timm: vit_base_patch14_reg4_dinov2) on ADE20K, crops of 512 x 512 pixels, 160k
# iterations. `pretrained=True` lets timm download the weights. We have not trained it.
# Differs from ../ade20k/beit3-adapter-b_mask2former_8xb2-160k_ade20k-512x512.py in: the ViT.
_base_ = "../ade20k/beit3-adapter-b_mask2former_8xb2-160k_ade20k-512x512.py"
_base_.model.backbone.vit = dict(
    type="mmbeit3.TimmViT", model_name="vit_base_patch14_reg4_dinov2", pretrained=True, image_size=518, drop_path_rate=0.2
)
