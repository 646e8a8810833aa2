"""The commands on small models: the files they write, and their messages about models that fail."""

import cv2
import pytest

from tests.evaluation.published.made import OPTIONS, make_segmentors, model, read_lines, without_cost, write_index
from tests.paths import ROOT


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    return folder, *make_segmentors(folder, 1)


def test_failing_models_do_not_stop_the_others(call, made, tmp_path):
    folder, data, _ = made
    (folder / "damaged.pth").write_bytes((folder / "0.pth").read_bytes()[:1000])
    index = write_index(
        folder / "failing.yml",
        model("without-file", "none.pth"),
        model("damaged", "damaged.pth"),
        model("without-config", "0.pth", folder / "none.py"),
        model("of-another-model", "0.pth", ROOT / "configs" / "shapes" / "mask-rcnn_beit3-adapter-t_shapes.py", "boxes"),
        model("good", "0.pth", metrics={"mIoU": 2.0, "aAcc": 10.0, "mIoU(ms+flip)": 3.0}),
    )
    roots = [f"shapes={data}", f"boxes={data.parent}"]
    code, output = call("evaluate", "--index", index, "--data-root", *roots, "--in-process", "--cfg-options", *OPTIONS)
    assert code == 1
    assert output.err.endswith("4 of 5 models failed\n")
    lines = read_lines(tmp_path / "work_dirs" / "evaluation")
    errors = {line["name"]: line["error"] for line in lines}
    assert errors["good"] is None
    for name, part in (
        ("without-file", "do not exist"),
        ("damaged", "damaged"),
        ("without-config", "none.py' does not exist"),
        ("of-another-model", "does not match the model"),
    ):
        assert part in errors[name]
        assert "\n" not in errors[name]
        assert errors[name] in output.out
    good = lines[-1]
    assert set(good["differences"]) == {"mIoU", "aAcc"}
    assert good["differences"]["mIoU"] == pytest.approx(good["scores"]["mIoU"] - 2.0)
    assert good["seconds"] > 0
    assert good["memory_mb"] > 100
    assert {"torch", "mmengine", "mmcv", "mmdet", "mmseg", "mmbeit3"} <= set(good["versions"])
    assert len(good["weights_sha256"]) == len(good["config_hash"]) == 64
    assert good["device"]
    assert good["data_root"] == str(data)
    table = without_cost((tmp_path / "work_dirs" / "evaluation" / "table.md").read_text())
    assert [cell.strip() for cell in table[-1][1:]] == ["", "mIoU(ms+flip)", "", "3.00", "shapes", ""]
    assert cv2.imread("work_dirs/evaluation/plot.png") is not None


def test_robustness(call, made, tmp_path):
    _, data, index = made

    def run(*kinds):
        arguments = ["--index", index, "--data-root", data, "--in-process", "--severities", 1, 5, "--corruptions", *kinds]
        code, output = call("evaluate_robustness", *arguments, "--cfg-options", *OPTIONS)
        assert code == 0, output.err
        return output.out

    run("contrast")
    out = run("contrast", "gaussian_noise")
    assert out.count("done before") == 3
    lines = read_lines(tmp_path / "work_dirs" / "robustness")
    kinds = [(line["corruption"], line["severity"]) for line in lines]
    assert kinds == [(None, 0), ("contrast", 1), ("contrast", 5), ("gaussian_noise", 1), ("gaussian_noise", 5)]
    clean, *scores = (line["scores"]["mIoU"] for line in lines)
    assert len({clean, *scores}) > 1
    summary = (tmp_path / "work_dirs" / "robustness" / "table.md").read_text().splitlines()[2]
    mean = sum(scores) / 4
    assert summary == f"| seed-0 | mIoU | {clean:.2f} | {mean:.2f} | {100 * mean / clean:.2f} |"
    assert cv2.imread("work_dirs/robustness/plot.png") is not None


def test_list(call, made):
    code, output = call("evaluate", "--list", "--index", made[2])
    assert code == 0
    assert output.out == "seed-0\n"
    assert call("evaluate", "--list")[1].out.startswith("beit3_base_patch16_224_in1k\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--index", "none.yml"], "'none.yml' does not exist"),
        (["nobody"], "no model 'nobody'"),
        (["--data-root", "nowhere"], "'nowhere' is not a folder"),
    ],
)
def test_wrong_arguments(call, arguments, message):
    code, output = call("evaluate", *arguments)
    assert code == 2
    assert output.err.startswith("error: ")
    assert message in output.err
    assert output.err.count("\n") == 1
