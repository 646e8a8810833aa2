# Mask2Former (arXiv 2112.01527) for semantic segmentation on four feature maps. The configs that inherit this file set the
# backbone.
# Sources: 256 channels and 100 queries are those of Mask2Former's own ADE20K recipe. The configs that follow ViT-Adapter's
# recipes for large models widen the head to 1024 channels.
# The head and its pixel decoder have the results of mmseg's and mmdet's, with fewer waits for the GPU.
_base_ = "./segmentor.py"
num_classes = 150
width = 256
attention = dict(embed_dims=width, num_heads=8, dropout=0.0, batch_first=True)
positions = dict(num_feats=width // 2, normalize=True)
model = dict(
    decode_head=dict(
        type="mmbeit3.SegMask2FormerHead",
        in_channels=[768] * 4,
        strides=[4, 8, 16, 32],
        feat_channels=width,
        out_channels=width,
        num_classes=num_classes,
        num_queries=100,
        num_transformer_feat_level=3,
        align_corners=False,
        pixel_decoder=dict(
            type="mmbeit3.MSDeformAttnPixelDecoder",
            num_outs=3,
            norm_cfg=dict(type="GN", num_groups=32),
            act_cfg=dict(type="ReLU"),
            encoder=dict(
                num_layers=6,
                layer_cfg=dict(
                    self_attn_cfg=dict(num_levels=3, num_points=4, **attention),
                    ffn_cfg=dict(embed_dims=width, feedforward_channels=4 * width, ffn_drop=0.0),
                ),
            ),
            positional_encoding=positions,
        ),
        enforce_decoder_input_project=False,
        positional_encoding=positions,
        transformer_decoder=dict(
            return_intermediate=True,
            num_layers=9,
            layer_cfg=dict(
                self_attn_cfg=attention,
                cross_attn_cfg=attention,
                ffn_cfg=dict(embed_dims=width, feedforward_channels=8 * width, ffn_drop=0.0),
            ),
        ),
        loss_cls=dict(
            type="mmdet.CrossEntropyLoss",
            use_sigmoid=False,
            loss_weight=2.0,
            reduction="mean",
            class_weight=[1.0] * num_classes + [0.1],
        ),
        loss_mask=dict(type="mmdet.CrossEntropyLoss", use_sigmoid=True, reduction="mean", loss_weight=5.0),
        loss_dice=dict(
            type="mmdet.DiceLoss",
            use_sigmoid=True,
            activate=True,
            reduction="mean",
            naive_dice=True,
            eps=1.0,
            loss_weight=5.0,
        ),
        train_cfg=dict(
            num_points=12544,
            oversample_ratio=3.0,
            importance_sample_ratio=0.75,
            assigner=dict(
                type="mmdet.HungarianAssigner",
                match_costs=[
                    dict(type="mmdet.ClassificationCost", weight=2.0),
                    dict(type="mmdet.CrossEntropyLossCost", weight=5.0, use_sigmoid=True),
                    dict(type="mmdet.DiceCost", weight=5.0, pred_act=True, eps=1.0),
                ],
            ),
            sampler=dict(type="mmdet.MaskPseudoSampler"),
        ),
    ),
    test_cfg=dict(mode="whole"),
)
