# Faster R-CNN with a frozen DINOv2 ViT-S/14 in a ViT-Adapter on BCCD.
# Differs from faster-rcnn_dinov2-adapter-s_bccd.py in: neither the ViT's weights nor its features change, as in DINOv3's segmentation.
_base_ = "./faster-rcnn_dinov2-adapter-s_bccd.py"
model = dict(backbone=dict(freeze_vit=True, use_injectors=False))
