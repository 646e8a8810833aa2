# Image-text retrieval with BEiT-3 base on Flickr30k at 384 x 384 pixels, 20 epochs. We have not trained it. The authors report
# 96.3 TR@1 and 86.2 IR@1.
# Differs from beit3-b_16xb192-15e_coco-384x384.py in: the data, the learning rate, and 20 epochs, 5 of them warm-up.
# Sources: BEiT-3's README: weights after contrastive tuning, learning rate 1e-4, layer decay 0.65, drop path 0.2.
_base_ = "./beit3-b_16xb192-15e_coco-384x384.py"
lr = 1e-4
data = dict(data_root="data/flickr30k", ann_file="dataset_flickr30k.json", data_prefix=dict(img_path="flickr30k-images"))
_base_.train_dataloader.dataset.update(splits=("train",), **data)
for __loader in (_base_.val_dataloader, _base_.test_dataloader):
    for __dataset in __loader.dataset.datasets:
        __dataset.update(data)
optim_wrapper = dict(optimizer=dict(lr=lr))
_base_.param_scheduler[0].end = 5
_base_.param_scheduler[1].update(eta_min_ratio=1e-6 / lr, begin=5, end=20, T_max=15)
train_cfg = dict(max_epochs=20)
