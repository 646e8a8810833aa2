# VQAv2 with BEiT-3 large, as the released code's README: rate 2e-5, drop path 0.15. Released: 81.85 on test-dev, 82.53 from
# beit3_large_indomain_patch16_224.pth. Not trained here.
_base_ = "./beit3-b_8xb16-10e_vqav2-480x480.py"
lr = 2e-5
model = dict(
    network=dict(arch="large", drop_path_rate=0.15, with_cp=True),
    init_cfg=dict(checkpoint="https://github.com/addf400/files/releases/download/beit3/beit3_large_patch16_224.pth"),
)
optim_wrapper = dict(optimizer=dict(lr=lr))
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-6, by_epoch=True, begin=0, end=1, convert_to_iter_based=True),
    dict(
        type="CosineAnnealingLR",
        eta_min_ratio=1e-6 / lr,
        by_epoch=True,
        begin=1,
        end=10,
        T_max=9,
        convert_to_iter_based=True,
    ),
]
