# Narrow heads and a higher learning rate for a tiny ViT from random weights, on two CPU cores. mmbeit3.recipes merges them into
# semantic.py. BN also works on CPUs with several processes.
# Our choice: all values.
norm_cfg = dict(type="BN", requires_grad=True)
model = dict(
    backbone=dict(conv_inplane=32),
    decode_head=dict(channels=96, norm_cfg=norm_cfg),
    auxiliary_head=dict(channels=64, norm_cfg=norm_cfg),
)
optim_wrapper = dict(optimizer=dict(lr=6e-4, betas=(0.9, 0.98)))
