# Image-text retrieval with BEiT-3 base on COCO at 384 x 384 pixels, 15 epochs. We have not trained it. The authors report 79.1
# TR@1 and 61.4 IR@1.
# Sources: BEiT-3's README: weights after contrastive tuning, learning rate 2e-4, layer decay 0.65, drop path 0.2.
_base_ = ["../_base_/tasks.py", "../_base_/datasets/coco_retrieval.py", "../_base_/weights.py"]
lr = 2e-4
model = dict(
    type="mmbeit3.BEiT3Retrieval",
    network=dict(arch="base", image_size=384, drop_path_rate=0.2, with_cp=True),
    init_cfg=dict(type="Pretrained", checkpoint=_base_.pop("weights").base_itc),
)
optim_wrapper = dict(optimizer=dict(lr=lr), paramwise_cfg=dict(layer_decay_rate=0.65))
_base_.param_scheduler[0].end = 3
_base_.param_scheduler[1].update(eta_min_ratio=1e-6 / lr, begin=3, end=15, T_max=12)
default_hooks = dict(checkpoint=dict(save_best="retrieval/mean", rule="greater"))
train_cfg = dict(max_epochs=15)
auto_scale_lr = dict(enable=False, base_batch_size=3072)
