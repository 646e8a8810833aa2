# Mask2Former for panoptic segmentation with a BEiT-3 large ViT-Adapter on COCO, 50 epochs. We have not trained it.
# Differs from mask2former_beit3-adapter-b_8xb2-lsj-50e_coco-panoptic.py in: the size and drop path.
# Sources: ViT-Adapter's panoptic Mask2Former L: drop path 0.4.
_base_ = ["./mask2former_beit3-adapter-b_8xb2-lsj-50e_coco-panoptic.py", "../_base_/models/adapter-l.py"]
_base_.adapter.update(drop_path_rate=0.4, vit=dict(drop_path_rate=0.4, global_indices=(5, 11, 17, 23)))
model = dict(backbone=_base_.pop("adapter"), panoptic_head=dict(in_channels=[1024] * 4))
