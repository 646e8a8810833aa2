"""C kernels that are compiled at first use if a compiler is available.

They are not compiled at installation, because the build of a wheel does not know the user's torch and processor; this is why
mmcv's wheels often lack their ops. The sources are plain C without headers of torch, so they compile in one or two seconds and
do not depend on the release of torch. The library is kept in the user's cache; its name is a hash of everything it depends on.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import stat
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from mmbeit3.files import cache_home

__all__ = ["CompileError", "cache_folder", "load_library"]

_SOURCES = Path(__file__).parent / "csrc"
_OPTIMIZE = ("-O3", "-std=gnu11", "-fPIC", "-fno-math-errno", "-fno-trapping-math", "-fno-signed-zeros", "-fassociative-math")
_NATIVE = ("-march=native",)
_THREADS = ("-fopenmp",)
_TIMEOUT = 120


class CompileError(RuntimeError):
    """A kernel cannot be compiled or loaded on this machine. The message says why."""


@cache
def load_library(name: str) -> ctypes.CDLL:
    """Load the library of ``csrc/<name>.c``, and compile it if it is not in the cache.

    Args:
        name: name of the source file without its suffix.

    Raises:
        CompileError: if there is no compiler, or its library cannot be loaded.
    """
    source = _SOURCES / f"{name}.c"
    compiler = _compiler()
    version = subprocess.run([*compiler, "--version"], capture_output=True, text=True, check=False, timeout=_TIMEOUT).stdout
    sources = [path.read_text(encoding="utf-8") for path in (source, *sorted(_SOURCES.glob("*.h")))]
    identity = "\n".join([*sources, *compiler, version, *_OPTIMIZE, _processor()])
    folder = cache_folder()
    path = folder / f"{name}-{hashlib.sha256(identity.encode()).hexdigest()[:20]}.so"
    problems = []
    # First link without OpenMP: the library then shares torch's threads, which are already running. If that fails, link OpenMP.
    for link in ((), _THREADS):
        target = path.with_suffix(".omp.so") if link else path
        try:
            if not target.is_file():
                _compile(compiler, source, target, link)
            return ctypes.CDLL(str(target), mode=getattr(os, "RTLD_NOW", ctypes.DEFAULT_MODE))
        except (CompileError, OSError) as error:
            problems.append(str(error))
    raise CompileError(f"{source.name} cannot be compiled or loaded: {problems[-1]}")


def cache_folder() -> Path:
    """Return the folder of compiled kernels: ``$MMBEIT3_HOME/kernels``, or ``mmbeit3/kernels`` in the user's cache.

    Raises:
        CompileError: if it cannot be created, or if other users could write to it, since its files are executed.
    """
    folder = cache_home() / "kernels"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        status = folder.stat()
    except OSError as error:
        raise CompileError(f"no folder for compiled kernels ({error}): set MMBEIT3_HOME to a folder of your own") from error
    if hasattr(os, "getuid") and (status.st_uid != os.getuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)):
        raise CompileError(
            f"other users can write to '{folder}', and its files are executed: run chmod go-w on it, or set MMBEIT3_HOME"
        )
    return folder


def _compiler() -> list[str]:
    named = os.environ.get("CC")
    candidates = [shlex.split(named)] if named else [["cc"], ["gcc"], ["clang"]]
    for command in candidates:
        if command and shutil.which(command[0]):
            return command
    raise CompileError(f"no C compiler ({named or 'cc, gcc or clang'}) was found")


def _processor() -> str:
    """Describe the processor, on which ``-march=native`` depends: several machines may share a home directory."""
    info = Path("/proc/cpuinfo")
    flags = ""
    if info.is_file():
        lines = info.read_text().splitlines()
        flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return f"{platform.machine()} {platform.processor()} {flags}"


def _compile(compiler: list[str], source: Path, target: Path, link: tuple[str, ...]) -> None:
    """Compile to a temporary file and rename it, so that several processes can compile at the same time."""
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        compiled, library = Path(folder) / "kernel.o", Path(folder) / "kernel.so"
        error = ""
        for machine in (_NATIVE, ()):
            error = _call([*compiler, *_OPTIMIZE, *machine, *_THREADS, "-c", str(source), "-o", str(compiled)])
            if not error:
                break
        error = error or _call([*compiler, "-shared", *link, str(compiled), "-o", str(library)])
        if error:
            raise CompileError(error)
        library.replace(target)


def _call(command: list[str]) -> str:
    """Run a compiler. Return its error in one line, or an empty string."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{command[0]}: {error}"
    if not done.returncode:
        return ""
    lines = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines() or ["it failed"]
    return f"{command[0]}: {lines[0].strip()}"
