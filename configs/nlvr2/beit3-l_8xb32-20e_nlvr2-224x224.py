# NLVR2 (statements about two images) with BEiT-3 large at 224 x 224 pixels, 20 epochs. We have not trained it. The authors
# report 88.5 on dev and 89.4 on test-P; 89.2 and 90.0 when starting from beit3_large_indomain_patch16_224.pth with learning
# rate 1e-4.
# Differs from beit3-b_8xb32-20e_nlvr2-224x224.py in: the size, learning rate and layer decay.
# Sources: BEiT-3's README: learning rate 3e-4, layer decay 0.85.
# Memory (computed, not measured): about 36 GB, and about 14 GB if layers are recomputed (`model.network.with_cp=True`).
_base_ = ["./beit3-b_8xb32-20e_nlvr2-224x224.py", "../_base_/weights.py"]
lr = 3e-4
model = dict(
    network=dict(arch="large"),
    init_cfg=dict(checkpoint=_base_.pop("weights").large),
)
optim_wrapper = dict(optimizer=dict(lr=lr), paramwise_cfg=dict(layer_decay_rate=0.85))
_base_.param_scheduler[1].eta_min_ratio = 1e-6 / lr
