# Shared settings of pretraining on the training images of CamVid, nuclei and BCCD, without texts, on CPUs.
# Our choice: all values.
_base_ = "./pretrain.py"
# Only training images: one folder holds the images of both splits of nuclei and BCCD.
images = [
    "data/camvid/images/train",
    dict(list="data/nuclei/train.json", folder="data/nuclei/images"),
    dict(list="data/bccd/train.json", folder="data/bccd/images"),
]
streams = dict(
    _delete_=True,
    images=dict(kind="images", paths=images, view=dict(scale=(0.2, 1.0), color_jitter=0.0)),
)
train_dataloader = dict(num_workers=1, dataset=dict(tokenizer=None, streams=streams))
env_cfg = dict(cudnn_benchmark=False, dist_cfg=dict(backend="gloo"))
