# Visual question answering with BEiT-3 large on VQAv2 at 768 x 768 pixels, 10 epochs: the image size of the released
# beit3_large_indomain_patch16_768_vgqaaug_vqa.pth, for which the authors report 82.97 on test-dev and 83.03 on test-std. We
# have not trained it.
# Differs from beit3-l_8xb16-10e_vqav2-480x480.py in: the image size, the initial weights and recomputation.
# Our choice: the other values. The authors do not state how they trained this model; they also used Visual Genome's questions,
# which this config does not.
_base_ = "./beit3-l_8xb16-10e_vqav2-480x480.py"
image_size = 768
model = dict(
    network=dict(image_size=image_size, with_cp=True),
    init_cfg=dict(checkpoint="https://github.com/addf400/files/releases/download/beit3/beit3_large_indomain_patch16_224.pth"),
)
for __dataset in _base_.train_dataloader.dataset.datasets:
    __dataset.pipeline[1].scale = image_size
    for __translation in __dataset.pipeline[3].policies[-2:]:
        __translation.magnitude_range = (0, 10 / image_size)
for __loader in (_base_.val_dataloader, _base_.test_dataloader):
    __loader.dataset.pipeline[1].scale = (image_size, image_size)
