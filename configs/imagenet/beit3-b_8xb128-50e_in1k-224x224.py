# Image classification with BEiT-3 base on ImageNet-1k at 224 x 224 pixels, 50 epochs. We have not trained it. The authors
# report 85.4 top-1 and 97.6 top-5.
# Sources: BEiT-3's README: learning rate 7e-4, layer decay 0.65, drop path 0.15, mixup 0.8, cutmix 1, label smoothing 0.1.
_base_ = ["../_base_/tasks.py", "../_base_/datasets/imagenet.py", "../_base_/weights.py"]
lr = 7e-4
model = dict(
    type="mmbeit3.BEiT3Classification",
    network=dict(arch="base", num_classes=1000, drop_path_rate=0.15),
    mixup=0.8,
    cutmix=1.0,
    label_smoothing=0.1,
    init_cfg=dict(type="Pretrained", checkpoint=_base_.pop("weights").base),
)
optim_wrapper = dict(optimizer=dict(lr=lr), paramwise_cfg=dict(layer_decay_rate=0.65))
_base_.param_scheduler[0].end = 5
_base_.param_scheduler[1].update(eta_min_ratio=1e-6 / lr, begin=5, end=50, T_max=45)
default_hooks = dict(checkpoint=dict(save_best="accuracy/top1", rule="greater"))
train_cfg = dict(max_epochs=50)
auto_scale_lr = dict(enable=False, base_batch_size=1024)
