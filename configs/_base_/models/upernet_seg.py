# UperNet (arXiv 1807.10221) for semantic segmentation, with an auxiliary FCN head on the map of stride 16.
# Sources: widths, such as 512 channels, are those of ViT-Adapter's recipes.
_base_ = "./segmentor.py"
norm_cfg = dict(type="SyncBN", requires_grad=True)
head = dict(num_classes=150, norm_cfg=norm_cfg, align_corners=False, dropout_ratio=0.1)
model = dict(
    decode_head=dict(
        type="UPerHead",
        in_channels=[768] * 4,
        in_index=[0, 1, 2, 3],
        pool_scales=(1, 2, 3, 6),
        channels=512,
        loss_decode=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0),
        **head,
    ),
    auxiliary_head=dict(
        type="FCNHead",
        in_channels=768,
        in_index=2,
        channels=256,
        num_convs=1,
        concat_input=False,
        loss_decode=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=0.4),
        **head,
    ),
    test_cfg=dict(mode="slide", crop_size=(512, 512), stride=(341, 341)),
)
