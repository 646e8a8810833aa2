"""Memory use of conversion, measured in a separate process."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mmbeit3.checkpoint import read_lazily, write_checkpoint
from tests.checkpoint.made import made, official_state
from tests.paths import ROOT

# The peak before the conversion is that of the imports. (getrusage would report the parent's peak if that is larger.)
CHILD = """
import json, re, runpy, sys
import mmbeit3.cli, mmbeit3.checkpoint
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) * 1024
imports = peak()
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
print(json.dumps([imports, peak()]))
"""


def convert_in_a_process(source, target, to):
    """Run the tool. Returns its peak memory minus that of the imports, in bytes."""
    tool = str(ROOT / "tools" / "convert_checkpoint.py")
    command = [sys.executable, "-c", CHILD, tool, str(source), str(target), "--to", to, "--allow-nonfinite"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    imports, peak = json.loads(done.stdout.splitlines()[-1])
    return peak - imports


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is measured on Linux only")
def test_conversion_needs_little_memory(tmp_path):
    """Six layers of the giant's width. safetensors are written one tensor at a time; ``torch.save`` needs all at once."""
    wide, ours, official = (tmp_path / name for name in ("wide.safetensors", "ours.pth", "official.safetensors"))
    source = official_state({"base": "giant", "num_layers": 6, "vocab_size": 8}, head=False)
    write_checkpoint(source, wide, allow_nonfinite=True)
    size = wide.stat().st_size
    assert size > 600e6
    assert convert_in_a_process(wide, ours, "ours") < 1.3 * size
    wide.unlink()
    assert convert_in_a_process(ours, official, "official") < 0.5 * size
    state = read_lazily(official)
    assert state.keys() == source.keys()
    bits = torch.int16
    assert all(torch.equal(state[n].load().view(-1).view(bits), made(n, source[n].like).view(-1).view(bits)) for n in state)
