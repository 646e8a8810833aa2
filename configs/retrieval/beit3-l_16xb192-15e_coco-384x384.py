# Retrieval on COCO with BEiT-3 large, as the released code's README: rate 5e-5, layer decay 0.85; otherwise as base. Released:
# 82.1 TR@1, 63.4 IR@1. Not trained here.
_base_ = ["./beit3-b_16xb192-15e_coco-384x384.py", "../_base_/weights.py"]
lr = 5e-5
model = dict(network=dict(arch="large"), init_cfg=dict(checkpoint=_base_.pop("weights").large_itc))
optim_wrapper = dict(optimizer=dict(lr=lr), paramwise_cfg=dict(layer_decay_rate=0.85))
_base_.param_scheduler[1].eta_min_ratio = 1e-6 / lr
