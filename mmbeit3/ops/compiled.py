"""C kernels, compiled on first use where there is a compiler.

Not at installation: a wheel's build sees neither the user's torch nor his processor, and that is how mmcv lost its operators.
The sources are plain C without any header of torch, so that compiling takes a second or two and no release of torch breaks it.
The library is kept in the user's cache, under a name made of everything that it depends on.
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
    """A kernel cannot be had on this machine; the message says why."""


@cache
def load_library(name: str) -> ctypes.CDLL:
    """Compile ``csrc/<name>.c``, or take it from the cache, and load it.

    Args:
        name: a source without its ending.

    Raises:
        CompileError: if there is no compiler, or it does not produce a library that can be loaded.
    """
    source = _SOURCES / f"{name}.c"
    compiler = _compiler()
    version = subprocess.run([*compiler, "--version"], capture_output=True, text=True, check=False, timeout=_TIMEOUT).stdout
    sources = [path.read_text(encoding="utf-8") for path in (source, *sorted(_SOURCES.glob("*.h")))]
    identity = "\n".join([*sources, *compiler, version, *_OPTIMIZE, _processor()])
    folder = cache_folder()
    path = folder / f"{name}-{hashlib.sha256(identity.encode()).hexdigest()[:20]}.so"
    problems = []
    # Without a threading library of its own it shares torch's, whose threads are awake; where torch's cannot be found, with.
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
    """The folder of compiled kernels: ``$MMBEIT3_HOME/kernels``, else ``mmbeit3/kernels`` in the user's cache.

    Raises:
        CompileError: if it cannot be made, or others than the user could put files there, which would then be run.
    """
    folder = cache_home() / "kernels"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        status = folder.stat()
    except OSError as error:
        raise CompileError(f"no folder for compiled kernels ({error}): set MMBEIT3_HOME to a folder of your own") from error
    if hasattr(os, "getuid") and (status.st_uid != os.getuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)):
        raise CompileError(f"'{folder}' is not yours alone, and kernels are run from it: chmod go-w, or set MMBEIT3_HOME")
    return folder


def _compiler() -> list[str]:
    named = os.environ.get("CC")
    candidates = [shlex.split(named)] if named else [["cc"], ["gcc"], ["clang"]]
    for command in candidates:
        if command and shutil.which(command[0]):
            return command
    raise CompileError(f"no C compiler ({named or 'cc, gcc or clang'}) was found")


def _processor() -> str:
    """What ``-march=native`` depends on: a home directory may be shared by machines."""
    info = Path("/proc/cpuinfo")
    flags = ""
    if info.is_file():
        lines = info.read_text().splitlines()
        flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return f"{platform.machine()} {platform.processor()} {flags}"


def _compile(compiler: list[str], source: Path, target: Path, link: tuple[str, ...]) -> None:
    """Write the library beside its place and rename it when complete, so that processes may do this at once."""
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
    """Run a compiler; returns what went wrong, in one line, or nothing."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{command[0]}: {error}"
    if not done.returncode:
        return ""
    lines = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines() or ["it failed"]
    return f"{command[0]}: {lines[0].strip()}"
