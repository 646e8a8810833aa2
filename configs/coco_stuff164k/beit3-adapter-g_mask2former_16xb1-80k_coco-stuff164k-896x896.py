# Mask2Former with a BEiT-3 giant ViT-Adapter on COCO-Stuff-164k, crops of 896 x 896 pixels, 80k iterations: the stage before
# ADE20K. We have not trained it; the giant's weights were never released.
# Differs from beit3-adapter-l_mask2former_16xb1-80k_coco-stuff164k-896x896.py in: the size, drop path, learning rate and layer
# decay.
# Sources: BEiT-3 paper's ADE20K recipe: learning rate 1e-5, layer decay 0.95, weight decay 0.05, drop path 0.5, 80k iterations,
# warm-up 1500, batch size 16, crop 896, patch size 14.
# Our choice: see ../ade20k/beit3-adapter-g_mask2former_16xb1-80k_ade20k-896x896.py.
_base_ = ["./beit3-adapter-l_mask2former_16xb1-80k_coco-stuff164k-896x896.py", "../_base_/models/adapter-g.py"]
model = dict(backbone=_base_.pop("adapter"), decode_head=dict(in_channels=[1408] * 4))
optim_wrapper = dict(optimizer=dict(lr=1e-5), paramwise_cfg=dict(layer_decay_rate=0.95))
