# The optimizer of the BEiT-3 paper's two detection stages (arXiv 2208.10442, appendix): batch 64, weight decay 0.1, layer decay
# 0.9 as for the giant, warm-up over 250 iterations. A config states the rate, the epochs and where the rate drops by 10.
# Arithmetic is bfloat16.
_base_ = ["mmdet::_base_/schedules/schedule_1x.py", "mmdet::_base_/default_runtime.py", "../mmbeit3.py"]
param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=250),
    dict(type="MultiStepLR", begin=0, by_epoch=True, gamma=0.1),
]
optim_wrapper = dict(
    _delete_=True,
    type="AmpOptimWrapper",
    dtype="bfloat16",
    optimizer=dict(type="AdamW", betas=(0.9, 0.999), eps=1e-8, weight_decay=0.1),
    constructor="mmbeit3.LayerDecayOptimWrapperConstructor",
    paramwise_cfg=dict(layer_decay_rate=0.9),
)
auto_scale_lr = dict(base_batch_size=64)
default_hooks = dict(checkpoint=dict(type="mmbeit3.SafeCheckpointHook", max_keep_ckpts=2))
