"""The preset ``gpu``: one command that measures a GPU against the goals of this project in a few minutes.

``python tools/benchmark.py gpu --device cuda``. :mod:`~benchmarks.preset.parts` lists the parts. They run one after the other
in a process that is replaced if it crashes, so that a part that fails does not end the run.
"""

from benchmarks.preset.parts import PARTS
from benchmarks.preset.run import run_preset

__all__ = ["PARTS", "run_preset"]
