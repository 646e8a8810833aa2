# Mask R-CNN with a DINOv3 base ViT-Adapter (timm: vit_base_patch16_dinov3) on COCO, 12 epochs. `pretrained=True` lets timm
# download the weights. We have not trained it.
# Differs from ../coco/mask-rcnn_beit3-adapter-b_fpn_1x_coco.py in: the ViT, drop path, layer decay, and global attention
# instead of windows.
# Sources: the schedule of the BEiT-3 config, which is ViT-Adapter's; layer decay of ViT-Adapter's DINOv2 B.
_base_ = "../coco/mask-rcnn_beit3-adapter-b_fpn_1x_coco.py"
_base_.model.backbone.vit = dict(
    type="mmbeit3.TimmViT", model_name="vit_base_patch16_dinov3", pretrained=True, image_size=512, drop_path_rate=0.3
)
_base_.model.backbone.drop_path_rate = 0.3
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.6))
