# NLVR2 (statements about two images) with BEiT-3 base at 224 x 224 pixels, 20 epochs. We have not trained it. The authors
# report 83.6 on dev and 84.4 on test-P; 84.6 and 85.3 when starting from beit3_base_indomain_patch16_224.pth with learning rate
# 5e-4.
# Sources: BEiT-3's README: learning rate 7e-4, layer decay 0.65, drop path 0.2, weight decay 0.2.
_base_ = ["../_base_/tasks.py", "../_base_/datasets/nlvr2.py", "../_base_/weights.py"]
lr = 7e-4
model = dict(
    type="mmbeit3.BEiT3NLVR2",
    network=dict(arch="base", drop_path_rate=0.2),
    init_cfg=dict(type="Pretrained", checkpoint=_base_.pop("weights").base),
)
optim_wrapper = dict(
    optimizer=dict(lr=lr, weight_decay=0.2),
    paramwise_cfg=dict(layer_decay_rate=0.65),
)
_base_.param_scheduler[0].end = 5
_base_.param_scheduler[1].update(eta_min_ratio=1e-6 / lr, begin=5, end=20, T_max=15)
default_hooks = dict(checkpoint=dict(save_best="accuracy/top1", rule="greater"))
train_cfg = dict(max_epochs=20)
auto_scale_lr = dict(enable=False, base_batch_size=256)
