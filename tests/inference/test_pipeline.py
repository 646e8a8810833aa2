"""The inferencers prepare inputs like the test pipelines in evaluation."""

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import TRANSFORMS, init_default_scope

from mmbeit3.datasets.collate import collate_samples
from mmbeit3.errors import UserError
from mmbeit3.inference.pipeline import Query, TaskPipeline, find_tokenizer, load_batch
from tests.datasets.made import CAPTIONS
from tests.inference.made import config
from tests.paths import ROOT

SHIPPED = ["vqa/beit3-b_*", "nlvr2/beit3-b_*", "captioning/beit3-b_*coco*", "retrieval/beit3-b_*coco*", "imagenet/beit3-b_*"]


def pipelines(dataset):
    return [part for inner in dataset["datasets"] for part in pipelines(inner)] if "datasets" in dataset else [dataset.pipeline]


@pytest.mark.parametrize("pattern", SHIPPED)
def test_shipped_configs(pattern, tokenizer, images):
    if pattern.startswith(("nlvr2", "imagenet")):
        pytest.importorskip("mmpretrain")
    (path,) = (ROOT / "configs").glob(f"{pattern}.py")
    cfg = Config.fromfile(path)
    init_default_scope(cfg.default_scope)
    reads_text, keys, pair = False, {}, pattern.startswith("nlvr2")
    wanted = {}
    for pipeline in pipelines(cfg.test_dataloader.dataset):
        for step in pipeline:
            if step.type == "mmbeit3.EncodeText":
                step.tokenizer = tokenizer
                keys[step.key] = CAPTIONS[0]
                reads_text = True
        steps = [dict(step, meta=()) if step.type == "mmbeit3.PackTask" else step for step in pipeline]
        source = [str(path) for path in images[:2]] if pair else str(images[0])
        wanted.update(Compose([TRANSFORMS.build(step) for step in steps])({"img_path": source, **keys})["inputs"])
    query = Query(tuple(images[: 1 + pair]), CAPTIONS[0] if reads_text else None)
    loaded = load_batch(TaskPipeline(cfg), [query])
    pixels, batch = loaded.pixels, loaded.inputs
    assert [image.shape for image in pixels[0]] == [(24, 40, 3)] * (1 + pair)
    assert batch["inputs"].keys() - {"padding_mask"} == wanted.keys()
    for name, value in wanted.items():
        assert torch.equal(batch["inputs"][name][0], value), name
    assert find_tokenizer(cfg) == (tokenizer if reads_text else None)


def test_batches_pad_texts(tokenizer, images):
    pipeline = TaskPipeline(config({}, tokenizer))
    queries = [Query((images[0],), CAPTIONS[2]), Query((images[1],), "red")]
    loaded = load_batch(pipeline, queries)
    given, pixels, batch = loaded.queries, loaded.pixels, loaded.inputs
    assert given == queries
    assert [len(each) for each in pixels] == [1, 1]
    alone = [pipeline(each, query.text) for each, query in zip(pixels, queries, strict=True)]
    both = collate_samples(alone)["inputs"]
    assert both.keys() == batch["inputs"].keys() == {"image", "tokens", "padding_mask"}
    assert all(torch.equal(both[name], batch["inputs"][name]) for name in both)
    assert set(pipeline([], "red")["inputs"]) == {"tokens"}


def test_configs_that_do_not_do(tokenizer):
    with pytest.raises(UserError, match="no test pipeline that loads images"):
        TaskPipeline(Config({"model": {}}))
    cfg = config({}, tokenizer)
    cfg.test_dataloader.dataset.pipeline[1].type = "Unheard"
    with pytest.raises(
        UserError, match=r"pipeline of the config cannot be built \(Unheard is not in the .* registry\): .*mmbeit3\[tasks\]"
    ) as caught:
        TaskPipeline(cfg)
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="no EncodeText"):
        TaskPipeline(config({}, tokenizer, key=None))([], "red")
