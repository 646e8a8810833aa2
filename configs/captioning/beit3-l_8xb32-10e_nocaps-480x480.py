# NoCaps with BEiT-3 large, as the released code's README: rate 8e-6. Released: CIDEr 120.2 on val. Not trained here.
_base_ = "./beit3-b_8xb32-10e_nocaps-480x480.py"
lr = 8e-6
model = dict(
    network=dict(arch="large"),
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
