# Mask2Former for panoptic segmentation with a BEiT-3 large ViT-Adapter on COCO, 50 epochs. We have not trained it.
# Differs from mask2former_beit3-adapter-b_8xb2-lsj-50e_coco-panoptic.py in: the size, drop path and
# recomputation of the ViT, because two images of 1024 x 1024 pixels in float32 may need more than 80 GB without.
# Sources: ViT-Adapter's panoptic Mask2Former L: drop path 0.4.
_base_ = ["./mask2former_beit3-adapter-b_8xb2-lsj-50e_coco-panoptic.py", "../_base_/models/adapter-l.py"]
_base_.adapter.update(drop_path_rate=0.4, vit=dict(drop_path_rate=0.4, with_cp=True, global_indices=(5, 11, 17, 23)))
model = dict(backbone=_base_.pop("adapter"), panoptic_head=dict(in_channels=[1024] * 4))
