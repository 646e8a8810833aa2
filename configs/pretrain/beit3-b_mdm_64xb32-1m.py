# BEiT-3 base by masked data modeling. How the released base was trained is unpublished, but for its data (LAION-400M, English
# LAION-2B, COYO-700M, CC15M, ImageNet-21k, 160 GB of text); the numbers are those of the paper's giant. 64 GPUs with 32 images, 32
# texts and 32 pairs each make its batch. Codes are of the released VQ-KD tokenizer, on the same grid. Not trained here.
_base_ = "../_base_/pretrain.py"
model = dict(
    type="mmbeit3.BEiT3Pretrainer",
    network=dict(arch="base", drop_path_rate=0.1, with_cp=True),
    tokenizer=dict(preset="base", checkpoint="checkpoints/vqkd_encoder_base_decoder_3x768x12_clip-d5036aa7.pth"),
)
default_hooks = dict(reconstruction=dict(type="mmbeit3.ReconstructionHook", interval=5000))
