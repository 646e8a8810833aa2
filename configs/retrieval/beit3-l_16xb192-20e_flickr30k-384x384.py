# Image-text retrieval with BEiT-3 large on Flickr30k at 384 x 384 pixels, 20 epochs. We have not trained it. The authors report
# 97.2 TR@1 and 88.1 IR@1.
# Differs from beit3-b_16xb192-20e_flickr30k-384x384.py in: the size, learning rate and layer decay.
# Sources: BEiT-3's README: learning rate 5e-5, layer decay 0.85.
_base_ = ["./beit3-b_16xb192-20e_flickr30k-384x384.py", "../_base_/weights.py"]
lr = 5e-5
model = dict(network=dict(arch="large"), init_cfg=dict(checkpoint=_base_.pop("weights").large_itc))
optim_wrapper = dict(optimizer=dict(lr=lr), paramwise_cfg=dict(layer_decay_rate=0.85))
_base_.param_scheduler[1].eta_min_ratio = 1e-6 / lr
