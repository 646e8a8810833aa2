"""Fixtures that call a tool as a command in this process, and the data of the tasks for these calls."""

import shutil

import pytest


@pytest.fixture
def call(run_tool):
    """Call a tool; returns its exit status and what it wrote to stderr."""

    def calling(tool, *arguments):
        code, output = run_tool(tool, *arguments)
        return code, output.err

    return calling


@pytest.fixture(scope="session")
def task_files(tmp_path_factory):
    """Folder with the data of all tasks in the official formats, and a checkpoint for each."""
    from tests.tools.task_errors import make_files

    return make_files(tmp_path_factory.mktemp("tasks"))


@pytest.fixture
def task_data(task_files, tmp_path, monkeypatch):
    """Folder of a copy of the data that a test may damage; commands run in the folder that contains it."""
    from mmengine.config import Config

    from mmbeit3.datasets.task_transforms import load_tokenizer
    from tests.tools.task_errors import SHAPES

    load_tokenizer.cache_clear()
    # MMEngine formats the whole config as text several times, which would take most of the time of these tests.
    monkeypatch.setattr(Config, "pretty_text", property(repr))
    monkeypatch.chdir(tmp_path)
    shutil.copytree(task_files, tmp_path, dirs_exist_ok=True)
    return tmp_path / SHAPES


@pytest.fixture
def call_task(run_tool):
    """Call a command for a task; returns its exit status, and what it wrote to stderr and to stdout."""
    from tests.tools.task_errors import arguments

    def calling(tool, task, *options, **kwargs):
        code, output = run_tool(tool, *arguments(tool, task, *options, **kwargs))
        return code, output.err, output.out

    return calling
