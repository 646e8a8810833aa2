# Recipe: instance segmentation of your own masks, Mask R-CNN with a tiny BEiT-3 ViT-Adapter from random weights. No download, no
# GPU.
# Data: data/mine/{images/, train.json, val.json}, COCO files with masks; docs/own-data.md shows this and other layouts.
# Cost: somewhat more than detection.py, because of the masks.
# Change settings in a child config, or on the command line: --cfg-options recipe.data=data/cells recipe.arch=base.
custom_imports = dict(imports=["mmbeit3.registry"], allow_failed_imports=False)
model = dict(type="mmbeit3.UnresolvedRecipe")
recipe = dict(
    task="instance",
    data="data/mine",  # the folder
    arch="tiny",  # size of the ViT: tiny, base or large
    image_size=640,  # longer side of the images in pixels
    epochs=None,  # None: by the number of images
    batch_size=None,  # None: 2
    pretrained=None,  # None: released weights for base and large; False: none; or a file or URL
    classes=None,  # None: read from the COCO files
)
