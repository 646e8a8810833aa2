# Data loader settings that the datasets of all tasks share. A dataset file adds the data and the batch sizes.
loader = dict(num_workers=8, persistent_workers=True, collate_fn=dict(type="mmbeit3.collate_samples"))
train_dataloader = dict(sampler=dict(type="DefaultSampler", shuffle=True), drop_last=True, **loader)
val_dataloader = dict(sampler=dict(type="DefaultSampler", shuffle=False), **loader)
test_dataloader = val_dataloader
