# Mask R-CNN with DINOv3 (timm: vit_base_patch16_dinov3) and ViT-Adapter on COCO, 12 epochs. Source: the BEiT-3 base config,
# whose schedule is ViT-Adapter's; layer decay as ViT-Adapter's DINOv2 B. Global attention. `pretrained=True` has timm fetch its
# weights. Not trained here.
_base_ = "../coco/mask-rcnn_beit3-adapter-b_fpn_1x_coco.py"
_base_.model.backbone.vit = dict(
    type="mmbeit3.TimmViT", model_name="vit_base_patch16_dinov3", pretrained=True, image_size=512, drop_path_rate=0.3
)
_base_.model.backbone.drop_path_rate = 0.3
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.6))
