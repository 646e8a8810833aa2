# Retrieval on Flickr30k with BEiT-3 large, as the released code's README: rate 5e-5, layer decay 0.85. Released: 97.2 TR@1, 88.1 IR@1.
# Not trained here.
_base_ = "./beit3-b_16xb192-20e_flickr30k-384x384.py"
lr = 5e-5
model = dict(
    network=dict(arch="large"),
    init_cfg=dict(checkpoint="https://github.com/addf400/files/releases/download/beit3/beit3_large_itc_patch16_224.pth"),
)
optim_wrapper = dict(optimizer=dict(lr=lr), paramwise_cfg=dict(layer_decay_rate=0.85))
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-6, by_epoch=True, begin=0, end=5, convert_to_iter_based=True),
    dict(
        type="CosineAnnealingLR",
        eta_min_ratio=1e-6 / lr,
        by_epoch=True,
        begin=5,
        end=20,
        T_max=15,
        convert_to_iter_based=True,
    ),
]
