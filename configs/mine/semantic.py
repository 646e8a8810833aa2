# Recipe: semantic segmentation of your own label images, UperNet with a tiny BEiT-3 ViT-Adapter from random weights. No download,
# no GPU.
# Data: data/mine/{images/train, images/val, labels/train, labels/val, classes.txt}; docs/own-data.md shows this and other layouts.
# Cost: 300 iterations (at least 12 epochs) of 2 images take about 4.2 CPU seconds each at 640 pixels and 0.9 at 320, measured on
# Zen 4; 1.7 GB of memory at 320 pixels.
# Change settings in a child config, or on the command line: --cfg-options recipe.data=data/cells recipe.arch=base.
custom_imports = dict(imports=["mmbeit3.registry"], allow_failed_imports=False)
model = dict(type="mmbeit3.UnresolvedRecipe")
recipe = dict(
    task="semantic",
    data="data/mine",  # the folder
    arch="tiny",  # size of the ViT: tiny, base or large
    image_size=640,  # longer side of the images in pixels
    epochs=None,  # None: by the number of images
    batch_size=None,  # None: 2
    pretrained=None,  # None: released weights for base and large; False: none; or a file or URL
    classes=None,  # None: read from the folder's classes.txt
)
