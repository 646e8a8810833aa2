# Captions of COCO with BEiT-3 large, as the released code's README: rate 8e-6; otherwise as base. Released: CIDEr 143.2. Not
# trained here.
_base_ = ["./beit3-b_8xb32-10e_coco-480x480.py", "../_base_/weights.py"]
lr = 8e-6
model = dict(network=dict(arch="large"), init_cfg=dict(checkpoint=_base_.pop("weights").large))
optim_wrapper = dict(optimizer=dict(lr=lr))
_base_.param_scheduler[1].eta_min_ratio = 1e-6 / lr
