# Mask R-CNN with a frozen DINOv2 ViT-S/14 in a ViT-Adapter on the nuclei of the Data Science Bowl 2018.
# Differs from mask-rcnn_dinov2-adapter-s_nuclei.py in: neither the ViT's weights nor its features change, as in DINOv3's segmentation.
_base_ = "./mask-rcnn_dinov2-adapter-s_nuclei.py"
model = dict(backbone=dict(freeze_vit=True, use_injectors=False))
