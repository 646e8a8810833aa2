# The second of the paper's two stages of classifying ImageNet with its giant, whose weights were never released. From the paper:
# ImageNet-1k at 336 pixels, rate 3e-5, layer decay 0.95, 15 epochs, 3 to warm up, drop path 0.4, batch 2k, labels smoothed by 0.1. The
# unstated as in the first stage; all 1000 classes are compared with. Paper: 89.6 top-1. Not trained here.
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
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-6, by_epoch=True, begin=0, end=3, convert_to_iter_based=True),
    dict(
        type="CosineAnnealingLR",
        eta_min_ratio=1e-6 / lr,
        by_epoch=True,
        begin=3,
        end=15,
        T_max=12,
        convert_to_iter_based=True,
    ),
]
image_size = 336
train_dataloader = _base_.train_dataloader
val_dataloader = _base_.val_dataloader
train_dataloader.batch_size = 256
train_dataloader.dataset.pipeline[1].scale = image_size
val_dataloader.dataset.pipeline[1].scale = image_size
val_dataloader.dataset.pipeline[2].crop_size = image_size
test_dataloader = val_dataloader
default_hooks = dict(checkpoint=dict(save_best="accuracy/top1", rule="greater"))
train_cfg = dict(max_epochs=15)
auto_scale_lr = dict(enable=False, base_batch_size=2048)
