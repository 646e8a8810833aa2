# Visual question answering with BEiT-3 large on VQAv2 at 480 x 480 pixels, 10 epochs. We have not trained it. The authors
# report 81.85 on test-dev, and 82.53 when starting from beit3_large_indomain_patch16_224.pth.
# Differs from beit3-b_8xb16-10e_vqav2-480x480.py in: the size, learning rate and drop path.
# Sources: BEiT-3's README: learning rate 2e-5, drop path 0.15.
# Memory (computed, not measured): about 35 GB, and about 14 GB if layers are recomputed (`model.network.with_cp=True`).
_base_ = ["./beit3-b_8xb16-10e_vqav2-480x480.py", "../_base_/weights.py"]
lr = 2e-5
model = dict(
    network=dict(arch="large", drop_path_rate=0.15),
    init_cfg=dict(checkpoint=_base_.pop("weights").large),
)
optim_wrapper = dict(optimizer=dict(lr=lr))
_base_.param_scheduler[1].eta_min_ratio = 1e-6 / lr
