"""The built wheel and the environments that it is installed in, made once for all tests, also where several processes test."""

import os
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution, distributions
from pathlib import Path

import pytest
from filelock import FileLock
from packaging.requirements import Requirement

from tests.packaging.environments import Environment, closure, link, make_environment, pip
from tests.paths import ROOT

_NOT_IN_A_CLONE = {"build", "dist", "data", "work_dirs", "mmbeit3.egg-info", "__pycache__"}


@pytest.fixture(scope="session")
def made_once(tmp_path_factory):
    """Call with a name and a function that fills the folder of that name: only the first process does it."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def make(name, fill):
        folder = base / "packaging" / name
        folder.parent.mkdir(exist_ok=True)
        with FileLock(folder.with_name(f"{name}.lock")):
            if not folder.exists():
                try:
                    fill(folder)
                except BaseException:
                    shutil.rmtree(folder, ignore_errors=True)
                    raise
        return folder

    return make


@pytest.fixture(scope="session")
def built(made_once) -> Path:
    """A folder with the source distribution and the wheel built from it."""
    return made_once("built", _build)


def _left_out(folder, names):
    """Hidden files everywhere, and what is git-ignored at the root, where the package has a folder ``data`` of its own."""
    unwanted = _NOT_IN_A_CLONE if Path(folder) == ROOT else {"__pycache__"}
    return [name for name in names if name in unwanted or name.startswith(".")]


def _build(folder):
    checkout = folder / "checkout"
    shutil.copytree(ROOT, checkout, ignore=_left_out)
    # As python -m build, but from outside: what is left in the checkout is looked at as well.
    command = [sys.executable, "-m", "build", "--outdir", str(folder), str(checkout)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    if "Could not find a version that satisfies the requirement setuptools" in done.stdout + done.stderr:
        pytest.skip("the package registry cannot be reached, from which the build takes setuptools")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="session")
def wheel(built) -> Path:
    """The wheel, built from the source distribution."""
    (path,) = built.glob("*.whl")
    return path


@pytest.fixture(scope="session")
def environment(made_once, wheel):
    """Call with extras, e.g. ``"det"``: an environment with the wheel, these, and nothing else."""

    def make(extras=""):
        folder = made_once(f"environment-{extras}", lambda folder: make_environment(folder, wheel, extras) and None)
        return Environment(folder)

    return make


@pytest.fixture(scope="session")
def transformers5(made_once) -> Path:
    """A folder of packages with transformers 5 and what it needs."""
    return made_once("transformers", _install_transformers)


def _install_transformers(folder):
    def fetch(requirement):
        pip("install", "--quiet", "--no-deps", "--no-compile", "--target", folder, requirement, offline=False)

    fetch("transformers>=5,<6")
    (transformers,) = distributions(name="transformers", path=[str(folder)])
    for requirement in map(Requirement, transformers.requires):
        if requirement.marker is None:
            try:
                installed = distribution(requirement.name)
            except PackageNotFoundError:
                fetch(str(requirement))
            else:
                link([installed, *closure(installed, [])], folder)
