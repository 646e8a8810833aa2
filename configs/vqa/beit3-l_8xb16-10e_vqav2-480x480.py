# VQAv2 with BEiT-3 large, as the released code's README: rate 2e-5, drop path 0.15; otherwise as base. Released: 81.85 on
# test-dev, 82.53 from beit3_large_indomain_patch16_224.pth. Not trained here.
_base_ = ["./beit3-b_8xb16-10e_vqav2-480x480.py", "../_base_/weights.py"]
lr = 2e-5
model = dict(
    network=dict(arch="large", drop_path_rate=0.15, with_cp=True),
    init_cfg=dict(checkpoint=_base_.pop("weights").large),
)
optim_wrapper = dict(optimizer=dict(lr=lr))
_base_.param_scheduler[1].eta_min_ratio = 1e-6 / lr
