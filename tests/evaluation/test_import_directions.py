"""``metrics`` imports neither ``errors`` nor ``published``, and the rest of the package imports none of the latter two."""

import ast

import pytest

from tests.paths import ROOT

PACKAGE = ROOT / "mmbeit3"


def imports_of(folder):
    """Names of all modules that the files of a folder import, wherever the import stands, with the file."""
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                yield path, node.module or ""
            elif isinstance(node, ast.Import):
                yield from ((path, name.name) for name in node.names)


@pytest.mark.parametrize(
    ("part", "forbidden"),
    [
        ("metrics", ("mmbeit3.evaluation.errors", "mmbeit3.evaluation.published")),
        ("errors", ("mmbeit3.evaluation.published",)),
        ("published", ("mmbeit3.evaluation.errors",)),
    ],
)
def test_parts_of_evaluation(part, forbidden):
    imports = list(imports_of(PACKAGE / "evaluation" / part))
    assert any(name.startswith("mmbeit3.") for _, name in imports)
    assert [(path, name) for path, name in imports if name.startswith(forbidden)] == []


def test_nothing_else_in_the_package_needs_evaluation():
    inside = {PACKAGE / "evaluation", PACKAGE / "demos"}
    users = [
        (path, name)
        for path, name in imports_of(PACKAGE)
        if name.startswith("mmbeit3.evaluation") and not inside & set(path.parents)
    ]
    assert users == []
