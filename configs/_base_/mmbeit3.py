# What every config of mmbeit3 needs. mmbeit3.registry comes first: it provides mmcv's operators where pip left them out, and
# that must happen before anything of mmdet.models is imported.
custom_imports = dict(imports=["mmbeit3.registry"], allow_failed_imports=False)
custom_hooks = [dict(type="mmbeit3.FastLinearHook"), dict(type="mmbeit3.FiniteLossHook")]
