# Contrastive tuning of the released BEiT-3 large; as the base config. Not trained here.
_base_ = "./beit3-b_itc_64xb256-5e.py"
model = dict(
    network=dict(arch="large"),
    init_cfg=dict(checkpoint="https://github.com/addf400/files/releases/download/beit3/beit3_large_patch16_224.pth"),
)
