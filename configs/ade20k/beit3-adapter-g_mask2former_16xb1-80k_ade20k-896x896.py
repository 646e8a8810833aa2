# The paper's ADE20K recipe: BEiT-3 giant at 896, Mask2Former, ViT-Adapter. Paper: 62.0 mIoU, 62.8 multi-scale. Not trained
# here; the giant's weights were never released. From the paper: rate 1e-5, layer decay 0.95, weight decay 0.05, drop path 0.5,
# 80k iterations, warm-up 1500, batch 16, crop 896, patch 14 (token grid 64 x 64 beside the adapter's 56 x 56). Unstated in the
# paper, chosen: whether there is a COCO-Stuff stage (there is, as ViT-Adapter has); 16 deformable heads, a head of 1024
# channels, 200 queries as ViT-Adapter.
_base_ = ["./beit3-adapter-l_mask2former_16xb1-80k_ade20k-896x896.py", "../_base_/models/adapter-g.py"]
load_from = "work_dirs/beit3-adapter-g_mask2former_16xb1-80k_coco-stuff164k-896x896/iter_80000.pth"
model = dict(backbone=_base_.pop("adapter"), decode_head=dict(in_channels=[1408] * 4))
optim_wrapper = dict(optimizer=dict(lr=1e-5), paramwise_cfg=dict(layer_decay_rate=0.95))
