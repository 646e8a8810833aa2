"""Replace the files that task configs name with tiny ones."""

from mmengine.config import Config

from mmbeit3.datasets.vqa_answers import write_answers
from tests.datasets import made


def write_files(folder):
    """Write the files that models read when they are built, and return their paths."""
    write_answers(["red", "other 0", "other 1"], folder / "answers.txt")
    (folder / "names.txt").write_text("red box\nblue circle\n")
    return {
        "answers": str(folder / "answers.txt"),
        "class_names": str(folder / "names.txt"),
        "tokenizer": made.tokenizer(folder),
    }


def walk(cfg):
    """Yield all dicts inside a config."""
    if isinstance(cfg, Config):
        cfg = list(cfg.values())
    elif isinstance(cfg, dict):
        yield cfg
        cfg = list(cfg.values())
    if isinstance(cfg, list | tuple):
        for part in cfg:
            yield from walk(part)


def use(cfg, files):
    """Replace the file names in a config with those of :func:`write_files`."""
    for part in walk(cfg):
        for key, path in files.items():
            if key in part:
                part[key] = path
    return cfg
