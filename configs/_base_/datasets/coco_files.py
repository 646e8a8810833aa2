# Loaders of small COCO datasets: train.json, val.json and images/ in one folder. A dataset file adds data_root, metainfo and the
# pipelines.
# Our choice: all values.
__data = dict(type="CocoDataset", data_prefix=dict(img="images/"))
__workers = dict(num_workers=1, persistent_workers=True)
train_dataloader = dict(
    batch_size=2,
    sampler=dict(type="DefaultSampler", shuffle=True),
    drop_last=True,
    dataset=dict(ann_file="train.json", **__data),
    **__workers,
)
val_dataloader = dict(
    batch_size=1,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(ann_file="val.json", test_mode=True, **__data),
    **__workers,
)
test_dataloader = val_dataloader
