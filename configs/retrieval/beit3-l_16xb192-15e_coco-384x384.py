# Image-text retrieval with BEiT-3 large on COCO at 384 x 384 pixels, 15 epochs. We have not trained it. The authors report 82.1
# TR@1 and 63.4 IR@1.
# Differs from beit3-b_16xb192-15e_coco-384x384.py in: the size, learning rate and layer decay.
# Sources: BEiT-3's README: learning rate 5e-5, layer decay 0.85.
_base_ = ["./beit3-b_16xb192-15e_coco-384x384.py", "../_base_/weights.py"]
lr = 5e-5
model = dict(network=dict(arch="large"), init_cfg=dict(checkpoint=_base_.pop("weights").large_itc))
optim_wrapper = dict(optimizer=dict(lr=lr), paramwise_cfg=dict(layer_decay_rate=0.85))
_base_.param_scheduler[1].eta_min_ratio = 1e-6 / lr
