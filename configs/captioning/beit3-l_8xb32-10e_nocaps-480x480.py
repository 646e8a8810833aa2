# Captioning with BEiT-3 large for NoCaps at 480 x 480 pixels, 10 epochs. We have not trained it. The authors report CIDEr 120.2
# on val.
# Differs from beit3-b_8xb32-10e_nocaps-480x480.py in: the size, the learning rate and recomputation.
# Sources: BEiT-3's README: learning rate 8e-6.
_base_ = ["./beit3-b_8xb32-10e_nocaps-480x480.py", "../_base_/weights.py"]
lr = 8e-6
model = dict(network=dict(arch="large", with_cp=True), init_cfg=dict(checkpoint=_base_.pop("weights").large))
optim_wrapper = dict(optimizer=dict(lr=lr))
_base_.param_scheduler[1].eta_min_ratio = 1e-6 / lr
