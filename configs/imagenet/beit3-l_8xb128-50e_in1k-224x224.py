# Image classification with BEiT-3 large on ImageNet-1k at 224 x 224 pixels, 50 epochs. We have not trained it. The authors
# report 87.6 top-1 and 98.3 top-5.
# Differs from beit3-b_8xb128-50e_in1k-224x224.py in: the size, learning rate, layer decay and drop path.
# Sources: BEiT-3's README: learning rate 2e-4, layer decay 0.8, drop path 0.25.
# Memory (computed, not measured): about 42 GB, and about 10 GB if layers are recomputed (`model.network.with_cp=True`).
_base_ = ["./beit3-b_8xb128-50e_in1k-224x224.py", "../_base_/weights.py"]
lr = 2e-4
model = dict(
    network=dict(arch="large", drop_path_rate=0.25),
    init_cfg=dict(checkpoint=_base_.pop("weights").large),
)
optim_wrapper = dict(optimizer=dict(lr=lr), paramwise_cfg=dict(layer_decay_rate=0.8))
_base_.param_scheduler[1].eta_min_ratio = 1e-6 / lr
