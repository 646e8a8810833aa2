# Image classification with BEiT-3 giant on ImageNet-1k at 336 x 336 pixels, 15 epochs: the second of the paper's two stages. We
# have not trained it; the giant's weights were never released. The paper reports 89.6 top-1.
# Sources: BEiT-3 paper: ImageNet-1k at 336 pixels, learning rate 3e-5, layer decay 0.95, 15 epochs, 3 of them warm-up, drop
# path 0.4, batch size 2k, label smoothing 0.1.
# Our choice, because the paper does not state it: augmentation and class names as in the first stage,
# beit3-g_64xb256-50e_in21k-224x224.py; each image is compared with all 1000 classes.
_base_ = ["../_base_/tasks.py", "../_base_/datasets/imagenet.py"]
lr = 3e-5
model = dict(
    type="mmbeit3.BEiT3ZeroShotClassification",
    network=dict(arch="giant", attention="shared", image_size=336, drop_path_rate=0.4, with_cp=True),
    class_names="data/imagenet/class_names.txt",
    tokenizer="checkpoints/beit3.spm",
    label_smoothing=0.1,
    init_cfg=dict(type="Pretrained", checkpoint="work_dirs/beit3-g_64xb256-50e_in21k-224x224/epoch_50.pth"),
)
optim_wrapper = dict(optimizer=dict(lr=lr), paramwise_cfg=dict(layer_decay_rate=0.95))
_base_.param_scheduler[0].end = 3
_base_.param_scheduler[1].update(eta_min_ratio=1e-6 / lr, begin=3, end=15, T_max=12)
image_size = 336
_base_.train_dataloader.batch_size = 256
_base_.train_dataloader.dataset.pipeline[1].scale = image_size
for __loader in (_base_.val_dataloader, _base_.test_dataloader):
    __loader.dataset.pipeline[1].scale = __loader.dataset.pipeline[2].crop_size = image_size
default_hooks = dict(checkpoint=dict(save_best="accuracy/top1", rule="greater"))
train_cfg = dict(max_epochs=15)
auto_scale_lr = dict(enable=False, base_batch_size=2048)
