# Captioning with BEiT-3 base for NoCaps at 480 x 480 pixels, 10 epochs: trained on COCO's captions, validated on NoCaps.
# NoCaps' test captions are only on its EvalAI server. We have not trained it. The authors report CIDEr 104.4 on val, and 105.6
# when starting from beit3_base_indomain_patch16_224.pth.
# Differs from beit3-b_8xb32-10e_coco-480x480.py in: the learning rate and the data for validation and test.
# Sources: BEiT-3's README: learning rate 1e-5.
_base_ = "./beit3-b_8xb32-10e_coco-480x480.py"
lr = 1e-5
optim_wrapper = dict(optimizer=dict(lr=lr))
_base_.param_scheduler[1].eta_min_ratio = 1e-6 / lr
__nocaps = dict(
    _delete_=True, type="mmbeit3.CocoCaptions", data_root="data/nocaps", test_mode=True, pipeline=_base_.test_pipeline
)
nocaps_val = dict(ann_file="nocaps_val_4500_captions.json", data_prefix=dict(img_path="val"), **__nocaps)
nocaps_test = dict(ann_file="nocaps_test_image_info.json", data_prefix=dict(img_path="test"), **__nocaps)
val_dataloader = dict(dataset=nocaps_val)
test_dataloader = dict(dataset=nocaps_test)
test_evaluator = dict(submission="work_dirs/nocaps_test.json")
