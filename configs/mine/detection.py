custom_imports = dict(imports=["mmbeit3.registry"], allow_failed_imports=False)
model = dict(type="mmbeit3.UnresolvedRecipe")
recipe = dict(
    task="detection",
    data="data/mine",
    arch="tiny",
    image_size=640,
    epochs=None,
    batch_size=None,
    pretrained=None,
    classes=None,
)
