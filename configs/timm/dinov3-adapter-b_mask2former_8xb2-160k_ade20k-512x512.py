# DINOv3 (timm: vit_base_patch16_dinov3) with ViT-Adapter and Mask2Former on ADE20K. Source: the BEiT-3 base config. `pretrained=True` has timm
# fetch its weights. Not trained here.
_base_ = "../ade20k/beit3-adapter-b_mask2former_8xb2-160k_ade20k-512x512.py"
model = dict(
    backbone=dict(
        vit=dict(
            _delete_=True,
            type="mmbeit3.TimmViT",
            model_name="vit_base_patch16_dinov3",
            pretrained=True,
            image_size=512,
            drop_path_rate=0.2,
        )
    )
)
