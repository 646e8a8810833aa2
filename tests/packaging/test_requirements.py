"""The sets of versions that tests are run with: they are those that setup.py allows."""

from importlib.metadata import requires

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.paths import ROOT

EXTRAS = ("", "det", "seg", "pretrain", "tasks")


def bounds():
    """The lower bounds that each requirement has, by name."""
    found: dict[str, list[Version]] = {}
    for requirement in map(Requirement, requires("mmbeit3")):
        if requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in EXTRAS):
            name = canonicalize_name(requirement.name)
            lower = [Version(one.version) for one in requirement.specifier if one.operator == ">="]
            found.setdefault(name, []).extend(lower)
    return found


def pins(name):
    lines = (ROOT / "requirements" / name).read_text().splitlines()
    pinned = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(one.name): next(iter(one.specifier)).version for one in pinned}


def test_the_lowest_set_is_what_setup_allows():
    """Every requirement has a lower bound, and is tested with it."""
    assert {name: Version(version) for name, version in pins("lowest.txt").items()} == {
        name: max(lower) for name, lower in bounds().items()
    }


@pytest.mark.parametrize("name", ["constraints.txt", "originals.txt"])
def test_other_sets_are_allowed(name):
    """By what is asked for without extras: the maintained forks ask for more than the originals."""
    asked = [one for one in map(Requirement, requires("mmbeit3")) if one.marker is None]
    requirements = {canonicalize_name(one.name): one.specifier for one in asked}
    for package, version in pins(name).items():
        assert requirements.get(package) is None or requirements[package].contains(version), package
