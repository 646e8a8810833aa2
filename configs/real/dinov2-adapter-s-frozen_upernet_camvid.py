# UperNet with a frozen DINOv2 ViT-S/14 in a ViT-Adapter on CamVid.
# Differs from dinov2-adapter-s_upernet_camvid.py in: neither the ViT's weights nor its features change, as in DINOv3's segmentation.
_base_ = "./dinov2-adapter-s_upernet_camvid.py"
model = dict(backbone=dict(freeze_vit=True, use_injectors=False))
