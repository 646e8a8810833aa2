# Runtime settings of the segmentation configs. With the maintained forks of OpenMMLab, configs cannot inherit mmseg's own base
# files by name, so the necessary ones are repeated here. mmdet.models is imported explicitly: otherwise mmseg builds a stub
# instead of Mask2Former's head.
default_scope = "mmseg"
custom_imports = dict(imports=["mmbeit3.registry", "mmdet.models"], allow_failed_imports=False)
custom_hooks = [
    dict(type="mmbeit3.FastOpsHook"),
    dict(type="mmbeit3.FiniteLossHook"),
    dict(type="mmbeit3.ThroughputHook"),
]
env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0),
    dist_cfg=dict(backend="nccl"),
)
vis_backends = [dict(type="LocalVisBackend")]
visualizer = dict(type="SegLocalVisualizer", vis_backends=vis_backends, name="visualizer")
log_processor = dict(by_epoch=False)
log_level = "INFO"
load_from = None
resume = False
tta_model = dict(type="SegTTAModel")

train_cfg = dict(type="IterBasedTrainLoop", max_iters=160000, val_interval=8000)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
default_hooks = dict(
    timer=dict(type="IterTimerHook"),
    logger=dict(type="LoggerHook", interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type="ParamSchedulerHook"),
    checkpoint=dict(
        type="mmbeit3.SafeCheckpointHook", by_epoch=False, interval=8000, max_keep_ckpts=2, save_best="mIoU", rule="greater"
    ),
    sampler_seed=dict(type="DistSamplerSeedHook"),
    visualization=dict(type="SegVisualizationHook"),
)
