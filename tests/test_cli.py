"""Ctrl-C ends a command in one line, and spinning threads are limited before PyTorch is imported."""

import os
import subprocess
import sys

import pytest

from mmbeit3.threads import SPINS

INTERRUPTED = """
import os, signal, time
from mmbeit3.cli import run

# Shells let programs in the background ignore the signal.
signal.signal(signal.SIGINT, signal.default_int_handler)

def main():
    worker = os.fork()
    if worker == 0:
        time.sleep(0.3)
        os._exit(7)
    os.kill(worker, signal.SIGINT)
    assert os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]) == 7, "workers ignore the signal"
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)
    except KeyboardInterrupt:
        {ending}

run(main)
"""


@pytest.mark.parametrize(
    ("ending", "line"),
    [
        ("raise KeyboardInterrupt('interrupted; to resume: again')", "interrupted; to resume: again"),
        ("raise ImportError('half imported')", "interrupted before anything was done"),
    ],
)
def test_ctrl_c(ending, line):
    code = INTERRUPTED.format(ending=ending)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", f"{line}\n")


@pytest.mark.parametrize(
    ("setting", "expected"),
    [({}, [None, SPINS]), ({"OMP_WAIT_POLICY": "active"}, ["active", None]), ({"GOMP_SPINCOUNT": "7"}, [None, "7"])],
)
def test_threads_stop_spinning_unless_the_user_decides(setting, expected):
    code = (
        "import os; from mmbeit3.cli import run; "
        "run(lambda: print([os.environ.get(name) for name in ('OMP_WAIT_POLICY', 'GOMP_SPINCOUNT')]))"
    )
    environment = {key: value for key, value in os.environ.items() if "OMP_" not in key} | setting
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == str(expected)
