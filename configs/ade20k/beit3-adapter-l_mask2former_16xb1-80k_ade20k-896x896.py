# Mask2Former with a BEiT-3 large ViT-Adapter on ADE20K, crops of 896 x 896 pixels, 80k iterations. It starts from the model of
# the COCO-Stuff stage. We have not trained it.
# Differs from that stage, ../coco_stuff164k/beit3-adapter-l_mask2former_16xb1-80k_coco-stuff164k-896x896.py, in: the data. The
# classification layer has another number of classes and starts from random weights.
# Sources: ViT-Adapter's recipe for 896 pixels (BEiTv2-L: 61.2 mIoU): 80k iterations, batch size 16.
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
