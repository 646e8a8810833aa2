"""Environments in which nothing can be imported but what pip installs with the wheel, made in a second.

Installing PyTorch anew takes minutes; what the wheel's metadata asks for is linked from the environment of the tests instead.
"""

import os
import subprocess
import sys
import venv
import zipfile
from importlib.metadata import Distribution, PackageNotFoundError, PathDistribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

# Of the tests' own environment, which a stranger has not.
_OURS = ("PYTHON", "VIRTUAL_ENV", "PYTEST_", "MMBEIT3_")


class Environment:
    """A virtual environment with the wheel and what some of its extras need."""

    def __init__(self, folder: Path) -> None:
        self.python = folder / "bin" / "python"
        (self.site,) = folder.glob("lib/python*/site-packages")

    def run(self, *arguments: object, cwd: Path, packages: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run Python with some arguments, outside the repository; ``packages`` is one more folder of packages."""
        environ = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
        environ |= {"PYTHONNOUSERSITE": "1", "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
        if packages is not None:
            environ["PYTHONPATH"] = str(packages)
        command = [str(self.python), *map(str, arguments)]
        return subprocess.run(command, cwd=cwd, env=environ, capture_output=True, text=True, check=False, timeout=600)

    def check(self, *arguments: object, cwd: Path, packages: Path | None = None) -> str:
        """As :meth:`run`, for what must succeed; returns what it printed."""
        done = self.run(*arguments, cwd=cwd, packages=packages)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout


def make_environment(folder: Path, wheel: Path, extras: str = "", editable: Path | None = None) -> Environment:
    """Link what the wheel needs and install it, by pip, which sees to it that nothing is missing.

    Args:
        folder: the environment to make.
        wheel: the wheel.
        extras: with commas between them.
        editable: a checkout to be installed in the wheel's place.
    """
    venv.create(folder)
    environment = Environment(folder)
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = {name.partition("/")[0] for name in archive.namelist() if ".dist-info/" in name}
        described = PathDistribution(zipfile.Path(archive, f"{metadata}/"))
        link(closure(described, extras.split(",")), environment.site)
    if editable:
        pip("--python", environment.python, "install", "--no-deps", "--editable", editable, offline=False)
    else:
        pip("--python", environment.python, "install", "--no-index", f"mmbeit3[{extras}] @ {wheel.as_uri()}")
    return environment


def pip(*arguments: object, offline: bool = True) -> None:
    """Run the tests' pip. Where it needs the registry and cannot have it, the test is skipped."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode and not offline:
        pytest.skip(f"the package registry cannot be used: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr


def closure(root: Distribution, extras: list[str]) -> list[Distribution]:
    """What pip would install with a distribution and some of its extras, as it is installed here."""
    found: dict[str, Distribution] = {}
    seen = set()
    todo = [(root, frozenset(extras))]
    while todo:
        needing, of_extras = todo.pop()
        for requirement in map(Requirement, needing.requires or ()):
            name = canonicalize_name(requirement.name)
            wanted = (name, frozenset(requirement.extras))
            marker = requirement.marker
            applies = marker is None or any(marker.evaluate({"extra": extra}) for extra in of_extras or {""})
            if wanted in seen or not applies:
                continue
            seen.add(wanted)
            try:
                found[name] = distribution(name)
            except PackageNotFoundError:
                pytest.skip(f"{name}, which the wheel needs, is not installed under this name here")
            todo.append((found[name], wanted[1]))
    return list(found.values())


def link(distributions: list[Distribution], folder: Path) -> None:
    """Make the modules and metadata of distributions importable from a folder."""
    for installed in distributions:
        for top in {file.parts[0] for file in installed.files or ()} - {"..", "__pycache__"}:
            if not (folder / top).exists() and not top.endswith(".pth"):
                (folder / top).symlink_to(Path(str(installed.locate_file(top))).resolve())
