"""From the wheel to a trained model and a prediction, in clean environments and outside the repository, as a stranger goes."""

import shutil

import pytest

DETECTOR = "shapes/mask-rcnn_beit3-adapter-t_shapes.py"
CLASSIFIER = "imagenet/beit3-tiny_classes_shapes.py"
# Two steps of training, in one process.
FEW = ("train_cfg.max_epochs=1", "train_cfg.val_interval=1", "default_hooks.logger.interval=1")
ONE_PROCESS = [
    f"{part}_dataloader.{name}" for part in ("train", "val") for name in ("num_workers=0", "persistent_workers=False")
]
OPTIONS = ("--cfg-options", *FEW, *ONE_PROCESS)
DETECT = """
import sys
from mmbeit3 import load_model
model = load_model(sys.argv[1], "out/epoch_1.pth")
model.predict(sys.argv[2], score=0.0).save("drawn.png")
print(type(model.model).__module__)
"""
CLASSIFY = """
import sys
from mmbeit3.inference import ClassificationInferencer
classify = ClassificationInferencer(sys.argv[1], "out/epoch_1.pth", device="cpu", show_progress=False)
print(classify(sys.argv[2])["predictions"])
"""


@pytest.fixture(scope="module")
def shapes(environment, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shapes")
    environment().check(
        "-m", "mmbeit3", "make_shapes_dataset", "data/shapes", "--train", 8, "--val", 4, "--size", 64, cwd=folder
    )
    return folder / "data" / "shapes"


@pytest.fixture
def folder(tmp_path, shapes):
    """Where the stranger works: his data, and nothing of the repository."""
    shutil.copytree(shapes, tmp_path / "data" / "shapes")
    return tmp_path


def installed(environment, folder, *modules, **options):
    """Which of some modules can be found."""
    code = f"from importlib.util import find_spec; print([name for name in {modules} if find_spec(name)])"
    return environment.check("-c", code, cwd=folder, **options)


def train_by_mmdet(environment, folder, config, **options):
    """Train through the script that mmdet's wheel has, not ours."""
    script = environment.site / "mmdet" / ".mim" / "tools" / "train.py"
    done = environment.run(script, config, "--work-dir", "out", *OPTIONS, cwd=folder, **options)
    assert done.returncode == 0, done.stderr
    assert "Epoch(train) [1][2/2]" in done.stdout
    assert "coco/segm_mAP" in done.stdout
    return done.stdout


def train_classifier(environment, folder, **options):
    """Train through the command that comes with the package."""
    data = [f"{part}_dataloader.dataset.data_root=data/shapes/classes" for part in ("train", "val")]
    more = ("train_dataloader.batch_size=4", "model.init_cfg=None", *data)
    arguments = ("train", f"mmbeit3::{CLASSIFIER}", "--work-dir", "out", *OPTIONS, *more)
    environment.check("-m", "mmbeit3", *arguments, cwd=folder, **options)
    assert (folder / "out" / "epoch_1.pth").is_file()


def predict(environment, folder, code, config, image, **options):
    return environment.check("-c", code, config, image, cwd=folder, **options)


def test_detector_without_compiled_operators(environment, folder):
    env = environment("det")
    if "mmcv._ext" in installed(env, folder, "mmcv._ext"):
        pytest.skip("mmcv has its compiled operators here")
    assert installed(env, folder, "mmseg", "mmpretrain", "pytest").strip() == "[]"
    where = env.check("-c", f"import mmbeit3; print(mmbeit3.path_of('configs/{DETECTOR}'))", cwd=folder).strip()
    assert where == str(env.site / "mmbeit3" / ".mim" / "configs" / DETECTOR)
    log = train_by_mmdet(env, folder, where)
    assert "mmcv ops in use: mmbeit3's replacements (mmcv has no compiled ops)" in log
    image = next((folder / "data" / "shapes" / "val2017").iterdir())
    assert "mmdet" in predict(env, folder, DETECT, f"mmbeit3::{DETECTOR}", image)
    assert (folder / "drawn.png").stat().st_size > 1000


def test_detector_beside_transformers_5(environment, transformers5, folder):
    """With a config of the stranger's own, which inherits from one in the wheel."""
    env = environment("all")
    version = env.check("-c", "import transformers; print(transformers.__version__)", cwd=folder, packages=transformers5)
    assert version.startswith("5.")
    base = f'str(__import__("mmbeit3").path_of("configs/{DETECTOR}"))'
    (folder / "mine.py").write_text(f"_base_ = {base}\nmodel = dict(roi_head=dict(mask_head=dict(num_convs=1)))\n")
    log = train_by_mmdet(env, folder, "mine.py", packages=transformers5)
    # Without that, neither mmpretrain's models nor mmdet could be imported.
    assert "mmpretrain's own multi-modal models are disabled" in log
    image = next((folder / "data" / "shapes" / "val2017").iterdir())
    assert "mmdet" in predict(env, folder, DETECT, "mine.py", image, packages=transformers5)


def test_classifier_beside_transformers_5(environment, transformers5, folder):
    train_classifier(environment("all"), folder, packages=transformers5)


def test_classifier_without_mmdet(environment, folder):
    env = environment("tasks")
    assert installed(env, folder, "mmdet", "mmseg").strip() == "[]"
    train_classifier(env, folder)
    image = next((folder / "data" / "shapes" / "val2017").iterdir())
    assert "pred_score" in predict(env, folder, CLASSIFY, f"mmbeit3::{CLASSIFIER}", image)


def test_a_detectors_config_without_mmdet_says_what_is_missing(environment, folder):
    done = environment("tasks").run("-m", "mmbeit3", "train", f"mmbeit3::{DETECTOR}", cwd=folder)
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "needs a package that is not installed: mmdet is not installed" in line
    assert "pip install 'mmbeit3[all]'" in line
