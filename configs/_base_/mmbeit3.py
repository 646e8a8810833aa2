# Settings that every config of mmbeit3 needs. mmbeit3.registry must be the first import: if mmcv has no compiled ops, it
# supplies replacements, which must exist before anything of mmdet.models is imported.
custom_imports = dict(imports=["mmbeit3.registry"], allow_failed_imports=False)
custom_hooks = [
    dict(type="mmbeit3.FastOpsHook"),
    dict(type="mmbeit3.FiniteLossHook"),
    dict(type="mmbeit3.ThroughputHook"),
]
