"""Packaging of mmbeit3. ``pip install -e .[all]`` for detection and segmentation with the maintained OpenMMLab forks."""

import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
VERSION = next(
    line.split('"')[1]
    for line in (ROOT / "mmbeit3" / "__init__.py").read_text(encoding="utf-8").splitlines()
    if line.startswith("__version__")
)

# What users and OpenMMLab's tools expect beside the modules. Speed benchmarks and their tool need a checkout.
RESOURCES = ("configs", "tools", "model-index.yml", "dataset-index.yml")

# OpenMMLab's packages are extras, never requirements: the maintained forks (onedl-*) and the originals share their import
# names, and installing one over the other would break an environment that already has either.
ENGINE = ["onedl-mmengine>=0.10.12", "onedl-mmcv>=2.3.6"]
DET = [*ENGINE, "onedl-mmdetection>=3.5.1", "pycocotools>=2.0.8"]
# mmseg's Mask2Former head is built on mmdet's. NumPy is as onedl-mmsegmentation asks for it.
SEG = [*DET, "onedl-mmsegmentation>=1.4.2", "numpy>=2.0.2", "ftfy>=6.0.3", "regex>=2022.1.18"]
# Readers and augmentations of mmpretrain's; not its extra "multimodal", which would bring transformers.
TASKS = [*ENGINE, "onedl-mmpretrain>=1.3.6", "sentencepiece>=0.2"]
PRETRAIN = [*ENGINE, "sentencepiece>=0.2", "webdataset>=0.2.96"]
# A new major version of Gradio moves arguments about.
APP = ["gradio>=6.31,<7"]
SUPERVISION = ["supervision>=0.25"]
EXPORT = ["onnx>=1.23", "onnxruntime>=1.32", "onnxscript>=0.7.2"]
DOCS = ["sphinx>=8.1", "myst-parser>=4", "furo>=2024.8"]
# Playwright drives the browser that is on the machine; it brings none.
TEST = [
    *APP,
    *EXPORT,
    *SUPERVISION,
    *DOCS,
    "build>=1.2",
    "playwright>=1.50",
    "pytest>=8",
    "pytest-xdist>=3.6",
    "hypothesis>=6.100",
    "ruff>=0.9",
    "mypy>=1.13",
]


class BuildWithResources(build_py):
    """Puts the resources into ``mmbeit3/.mim``, where OpenMMLab's packages have theirs, without links in the source tree.

    An editable installation reads the checkout itself; mmbeit3/resources.py finds both.
    """

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib) / "mmbeit3" / ".mim"
        # What an earlier build left here may be gone from the sources.
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for name in RESOURCES:
            if (ROOT / name).is_dir():
                shutil.copytree(
                    ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__", "*.py[cod]", ".*", "benchmark.py")
                )
            else:
                shutil.copy(ROOT / name, target / name)


setup(
    name="mmbeit3",
    version=VERSION,
    description="BEiT-3 for OpenMMLab: detection and segmentation backbone with a ViT-Adapter, and the full multiway model",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.10",
    cmdclass={"build_py": BuildWithResources},
    packages=find_packages(include=["mmbeit3", "mmbeit3.*"]),
    # PyTorch calls it when it is imported, see mmbeit3/autoload.py.
    entry_points={"torch.backends": ["mmbeit3_mmcv_operators = mmbeit3.autoload:install"]},
    package_data={"mmbeit3": ["py.typed", "ops/csrc/*.c", "ops/csrc/*.h"]},
    install_requires=[
        # Before 2.6 torch.load(weights_only=True) could be made to run code (CVE-2025-32434).
        "torch>=2.6",
        "torchvision>=0.21",
        # The first whose models are all built without weights.
        "timm>=1.0.22",
        "numpy>=1.26",
        # The first for NumPy 2.
        "opencv-python>=4.10.0.84",
        # Before 10.3 a TIFF was turned upright or not by how it was read.
        "pillow>=10.3",
        "safetensors>=0.4.3",
        "rich>=13",
        "filelock>=3.12",
        "pyyaml>=6.0.1",
    ],
    extras_require={
        "det": DET,
        "seg": SEG,
        "pretrain": PRETRAIN,
        "tasks": TASKS,
        "app": APP,
        "export": EXPORT,
        "supervision": SUPERVISION,
        # API pages are written from the imported package.
        "docs": [*DET, *DOCS],
        "all": [*SEG, *PRETRAIN, *TASKS, *EXPORT],
        "test": [*SEG, *PRETRAIN, *TASKS, *TEST],
    },
)
