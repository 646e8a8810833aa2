# NoCaps with BEiT-3 base: trained on COCO's captions, validated on NoCaps, whose test captions stay with its EvalAI server. As
# the released code's README: rate 1e-5; otherwise as the config for COCO. Released: CIDEr 104.4 on val, 105.6 from
# beit3_base_indomain_patch16_224.pth. Not trained here.
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
