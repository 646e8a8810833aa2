"""Task configs without the files that they name."""

from mmengine.config import Config

from mmbeit3.datasets.vqa_answers import write_answers
from tests.datasets import made


def write_files(folder):
    """What models read when they are built."""
    write_answers(["red", "other 0", "other 1"], folder / "answers.txt")
    (folder / "names.txt").write_text("red box\nblue circle\n")
    return {
        "answers": str(folder / "answers.txt"),
        "class_names": str(folder / "names.txt"),
        "tokenizer": made.tokenizer(folder),
    }


def walk(cfg):
    """All dicts inside."""
    if isinstance(cfg, Config):
        cfg = list(cfg.values())
    elif isinstance(cfg, dict):
        yield cfg
        cfg = list(cfg.values())
    if isinstance(cfg, list | tuple):
        for part in cfg:
            yield from walk(part)


def use(cfg, files):
    """Put such files in the place of those that a config names."""
    for part in walk(cfg):
        for key, path in files.items():
            if key in part:
                part[key] = path
    return cfg
