# Mask2Former with BEiT-3 large and ViT-Adapter on ADE20K at 896, from the COCO-Stuff stage and as that; its class layer, of
# another size, starts anew. Sources: ViT-Adapter's 896 recipe (BEiTv2-L: 61.2 mIoU), 80k iterations, batch 16. Not trained
# here.
_base_ = "../coco_stuff164k/beit3-adapter-l_mask2former_16xb1-80k_coco-stuff164k-896x896.py"
load_from = "work_dirs/beit3-adapter-l_mask2former_16xb1-80k_coco-stuff164k-896x896/iter_80000.pth"
num_classes = 150
ade = dict(type="ADE20KDataset", data_root="data/ade/ADEChallengeData2016")
train_dataloader = dict(dataset=dict(data_prefix=dict(img_path="images/training", seg_map_path="annotations/training"), **ade))
val_dataloader = dict(
    dataset=dict(data_prefix=dict(img_path="images/validation", seg_map_path="annotations/validation"), **ade)
)
test_dataloader = val_dataloader
model = dict(decode_head=dict(num_classes=num_classes, loss_cls=dict(class_weight=[1.0] * num_classes + [0.1])))
