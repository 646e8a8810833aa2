# COCO-Stuff-164k for semantic segmentation in mmseg's folder layout. Crops of 512 x 512 pixels and augmentation are those of
# ade20k.py.
_base_ = "./ade20k.py"
data_root = "data/coco_stuff164k"
__stuff = dict(type="COCOStuffDataset", data_root=data_root)
train_dataloader = dict(
    dataset=dict(data_prefix=dict(img_path="images/train2017", seg_map_path="annotations/train2017"), **__stuff)
)
val_dataloader = dict(dataset=dict(data_prefix=dict(img_path="images/val2017", seg_map_path="annotations/val2017"), **__stuff))
test_dataloader = val_dataloader
