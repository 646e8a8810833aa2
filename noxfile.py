"""Tests with other versions than the tested set, before a release: ``pip install nox`` and ``nox``, or ``nox -s lowest``.

What was found with them stands in docs/versions.md.
"""

from pathlib import Path

import nox

TESTS = ("pytest>=8", "pytest-xdist>=3.6", "hypothesis>=6.100")
MMCV = "onedl-mmcv==2.3.6"

nox.options.reuse_existing_virtualenvs = True


def run_tests(session: nox.Session) -> None:
    """Run the tests, or those that are named behind ``--``."""
    session.run("python", "-m", "pytest", "-n", "auto", "--maxprocesses=4", *session.posargs)


@nox.session(python="3.10")
def lowest(session: nox.Session) -> None:
    """The lowest versions that setup.py allows."""
    session.install("-c", "requirements/lowest.txt", *TESTS, "-e", ".[seg,pretrain,tasks]")
    run_tests(session)


@nox.session(python=["3.10", "3.14"])
def newest(session: nox.Session) -> None:
    """The newest versions that pip finds."""
    session.install("--upgrade", "--upgrade-strategy", "eager", "-e", ".[test]")
    run_tests(session)


@nox.session(python="3.10")
def originals(session: nox.Session) -> None:
    """OpenMMLab's own packages in place of the maintained forks, mmcv without operators."""
    packages = ["mmengine", "mmcv-lite", "mmdet", "mmsegmentation", "mmpretrain"]
    extras = ["ftfy", "regex", "pycocotools", "sentencepiece", "webdataset"]
    session.install("-c", "requirements/originals.txt", *TESTS, *packages, *extras, "-e", ".")
    run_tests(session)


@nox.session(python="3.10")
def compiled(session: nox.Session) -> None:
    """Detectors and segmentors on mmcv's compiled operators and on ours: the same losses, gradients and boxes."""
    session.install("-c", "requirements/constraints.txt", "-e", ".[seg]", "ninja", "setuptools")
    session.run("pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", "--dest", "build/mmcv", MMCV)
    (source,) = Path("build/mmcv").glob("onedl_mmcv-*.tar.gz")
    session.run("python", "-m", "tests.release.compiled_mmcv", "--source", str(source), "--build", "build/mmcv")
