"""``--help`` answers at once: nothing slow is imported before the arguments are parsed."""

import json
import runpy
import subprocess
import sys

from tests.paths import ROOT

HEAVY = ("torch", "mmengine", "mmcv", "matplotlib", "numpy", "cv2", "rich", "PIL", "scipy", "gradio")
TOOLS = sorted(path.stem for path in (ROOT / "tools").glob("*.py"))
CODE = """
import contextlib, io, json, runpy, sys
found = {}
for tool in sys.argv[2:]:
    path = f"{sys.argv[1]}/tools/{tool}.py"
    sys.argv[0] = path
    argv, sys.argv = sys.argv, [path, "--help"]
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(SystemExit):
        runpy.run_path(path, run_name="__main__")
    sys.argv = argv
    found[tool] = ("usage:" in out.getvalue(), [name for name in HEAVY if name in sys.modules])
print(json.dumps(found))
"""


def test_help_imports_nothing_heavy():
    code = f"HEAVY = {HEAVY!r}\n{CODE}"
    done = subprocess.run([sys.executable, "-c", code, ROOT, *TOOLS], capture_output=True, text=True, cwd=ROOT, check=True)
    assert json.loads(done.stdout) == {tool: [True, []] for tool in TOOLS}


def test_names_in_the_help_are_those_of_the_package():
    """The tools repeat some names, so that the help does not import the package."""
    from benchmarks.preset import PARTS
    from benchmarks.settings import DTYPES
    from mmbeit3.checkpoint import LAYOUTS
    from mmbeit3.datasets.shapes.render import STYLES
    from mmbeit3.demos.tasks import TASKS
    from mmbeit3.models.beit3 import ARCHS

    def names(tool, name):
        return tuple(runpy.run_path(str(ROOT / "tools" / f"{tool}.py"))[name])

    assert names("make_shapes_dataset", "STYLES") == tuple(STYLES)
    assert set(names("convert_checkpoint", "_WRAPPERS")) == set(LAYOUTS)
    assert names("demo_tasks", "TASKS") == tuple(TASKS)
    assert names("benchmark", "ARCHS") == tuple(ARCHS)
    assert names("benchmark", "DTYPES") == tuple(DTYPES)
    assert names("benchmark", "PARTS") == tuple(PARTS)
