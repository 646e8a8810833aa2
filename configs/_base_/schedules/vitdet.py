# Optimizer of the BEiT-3 paper's two detection stages (Objects365, then COCO). A config adds the learning rate, the number of
# epochs and the epochs at which the learning rate drops by a factor of 10. Training runs in bfloat16.
# Sources: BEiT-3 paper (arXiv 2208.10442, appendix): batch size 64, weight decay 0.1, layer decay 0.9 for the giant, warm-up
# over 250 iterations.
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
