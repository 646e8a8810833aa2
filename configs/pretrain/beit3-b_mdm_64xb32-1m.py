# Masked data modeling with BEiT-3 base, 1 million steps. The batch size is reached with 64 GPUs of 32 images, 32 texts and 32
# pairs each. The image codes are those of the released VQ-KD tokenizer, on the same grid as the patches. We have not trained
# it.
# Sources: BEiT-3 paper, which gives the values of the giant. How the released base was trained is not published, except for its
# data (LAION-400M, English LAION-2B, COYO-700M, CC15M, ImageNet-21k, 160 GB of text).
# Memory (computed, not measured): about 16 GB, and about 7 GB if layers are recomputed (`model.network.with_cp=True`).
_base_ = "../_base_/pretrain.py"
model = dict(
    type="mmbeit3.BEiT3Pretrainer",
    network=dict(arch="base", drop_path_rate=0.1),
    tokenizer=dict(preset="base", checkpoint="checkpoints/vqkd_encoder_base_decoder_3x768x12_clip-d5036aa7.pth"),
)
default_hooks = dict(reconstruction=dict(type="mmbeit3.ReconstructionHook", interval=5000))
