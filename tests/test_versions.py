"""Installed packages by their import names."""

from importlib.metadata import version

from mmbeit3.versions import find_installed


def test_a_distribution_of_the_same_name():
    assert find_installed("torch") == ("torch", version("torch"))


def test_the_first_of_several(monkeypatch):
    monkeypatch.setattr("mmbeit3.versions._DISTRIBUTIONS", {"package": ("none-such", "numpy", "torch")})
    assert find_installed("package") == ("numpy", version("numpy"))


def test_none():
    assert find_installed("none_such") is None
