"""More than 300 damaged and malicious checkpoints. They are the same in each run."""

import io
import json
import os
import pickle
import random
import struct
import tarfile
import warnings
import zipfile

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

from mmbeit3.checkpoint import write_safetensors

KEYS = (
    "../../evil",
    "/tmp/evil",
    "..",
    "a/../../b",
    "C:\\evil",
    "a\nb",
    "\x1b[31mred",
    "__class__",
    "x" * 5000,
    "",
    "./.pth",
    "~/evil",
)


class Call:
    """An object that is pickled as a call."""

    def __init__(self, function, *arguments):
        self.reduced = function, arguments

    def __reduce__(self):
        return self.reduced


class Named:
    """A function, given by its name. It need not be importable."""

    def __init__(self, module, name):
        self.module, self.name = module, name


class _Pickler(pickle._Pickler):
    """A pickler that writes :class:`Named`, and calls of it, without importing the function."""

    dispatch = dict(pickle._Pickler.dispatch)

    def save(self, obj, save_persistent_id=True):
        if isinstance(obj, Named):
            self.write(b"c" + f"{obj.module}\n{obj.name}\n".encode())
        elif isinstance(obj, Call) and isinstance(obj.reduced[0], Named | Call):
            self.save(obj.reduced[0])
            self.save(obj.reduced[1])
            self.write(b"R")
        else:
            super().save(obj, save_persistent_id)


def _pickled(content, protocol=2):
    file = io.BytesIO()
    _Pickler(file, protocol).dump(content)
    return file.getvalue()


class _Module:
    """The pickle module for ``torch.save``."""

    Pickler, __name__ = _Pickler, "hostile"

    @staticmethod
    def dump(content, file, protocol=2):
        _Pickler(file, protocol).dump(content)


def payloads(marker):
    """Yield calls that would create the file ``marker``."""
    code = f"open({str(marker)!r}, 'w').close()"
    getattr_ = Named("builtins", "getattr")
    yield Call(os.system, f"touch {marker}")
    yield Call(eval, code)
    yield Call(exec, code)
    yield Call(open, str(marker), "w")
    yield Call(Named("nt", "system"), f"touch {marker}")
    yield Call(Named("os", "popen"), f"touch {marker}")
    yield Call(Named("subprocess", "Popen"), ["touch", str(marker)])
    yield Call(Named("subprocess", "check_output"), ["touch", str(marker)])
    yield Call(Named("__builtin__", "eval"), code)
    yield Call(Named("builtins", "__import__"), "os")
    yield Call(Named("runpy", "run_path"), str(marker))
    yield Call(Named("pickle", "loads"), pickle.dumps(Call(eval, code)))
    yield Call(Named("torch", "load"), str(marker))
    yield Call(Named("torch.hub", "load"), "evil/repo", "evil")
    yield Call(Named("torch.storage", "_load_from_bytes"), pickle.dumps(Call(eval, code)))
    yield Call(Named("torch.serialization", "load"), str(marker))
    yield Call(Named("torch._utils", "_import_dotted_name"), "os.system")
    yield Call(Named("numpy", "load"), str(marker), None, True)
    yield Call(Named("numpy.testing._private.utils", "runstring"), code, {})
    yield Call(Named("functools", "partial"), eval, code)
    yield Call(Named("operator", "attrgetter"), "system")
    yield Call(Named("mmengine.config", "Config.fromstring"), code, ".py")
    yield Call(Named("mmengine.fileio", "load"), str(marker))
    yield Call(Named("pathlib", "Path"), str(marker))
    yield Call(Named("builtins", "getattr"), Named("builtins", "eval"), "__call__")
    yield Call(getattr_, HistoryBuffer, "__init__")
    yield Call(getattr_, HistoryBuffer, "min")
    yield Call(Call(getattr_, HistoryBuffer, "min"), code)
    yield Call(getattr_, Call(getattr_, Call(getattr_, HistoryBuffer, "__init__"), "__globals__"), "get")
    yield Call(Named("numpy.core.multiarray", "_reconstruct"), Named("numpy", "ndarray"), (10**14,), b"b")
    yield Call(Named("torch._utils", "_rebuild_tensor_v2"), Call(eval, code), 0, (2,), (1,), False, {})
    yield Call(Named("torch", "Size"), Call(eval, code))


def wraps(state, payload):
    """Yield checkpoints with the payload at different places."""
    yield {"model": state, "args": payload}
    yield {"model": {**state, "vision.extra": payload}}
    yield {"state_dict": state, "optimizer": {"state": [{"step": (1, [payload])}]}}
    yield {"model": state, ("key", 1): {"deep": {"er": payload}}}
    yield np.array([payload], dtype=object)
    yield payload


def _save(content, kind):
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if kind == "pickle":
            return _pickled(content)
        torch.save(content, file, pickle_module=_Module, _use_new_zipfile_serialization=kind == "zip")
    return file.getvalue()


def with_code(state, marker):
    """Yield (name, file content) of checkpoints with code."""
    for number, payload in enumerate(payloads(marker)):
        for place in range(6):
            kind = ("zip", "legacy", "pickle")[(number + place) % 3]
            # Plainly pickled tensors would be refused before the payload is reached.
            content = list(wraps({} if kind == "pickle" else state, payload))[place]
            yield f"code_{number}_{place}_{kind}", _save(content, kind)
    # PyTorch's oldest format, a tar of pickles.
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        for name in ("sys_info", "pickle", "../../storages", "/tensors"):
            data = pickle.dumps(Call(os.system, f"touch {marker}"))
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    yield "code_tar", tar.getvalue()
    for number, opcodes in enumerate(
        (
            b"(S'touch %s'\nios\nsystem\n." % str(marker).encode(),
            b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x01x\x85R.",
            b"\x80\x02}q\x00(cbuiltins\neval\nq\x01X\x01\x00\x00\x001\x85\x81.",
            b"\x82\x01.",
            b"\x80\x02]" + b"(" * 10000 + b".",
        )
    ):
        yield f"code_opcodes_{number}", opcodes


def damaged(files, seed=0):
    """Yield (name, content) of truncated and bit-flipped copies of ``files``, a dict of names to contents."""
    chance = random.Random(seed)
    for name, content in files.items():
        for number in range(18):
            cut = chance.choice(
                (chance.randrange(64), chance.randrange(len(content)), len(content) - 1 - chance.randrange(600))
            )
            yield f"cut_{number}_{name}", content[:cut]
        for number in range(36):
            # Two thirds of the bits are in headers and directories, at the start and the end.
            place = chance.choice((chance.randrange(4096), -1 - chance.randrange(4096), chance.randrange(len(content))))
            changed = bytearray(content)
            changed[place] ^= 1 << chance.randrange(8)
            yield f"flip_{number}_{name}", bytes(changed)
        yield f"tail_{name}", content + b"\0" * 100


def _header(header, body=b"", length=None):
    head = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(head) if length is None else length) + head + body


def bad_headers():
    """Yield (name, content) of safetensors files with false headers."""

    def tensor(start, end, shape=(2,), dtype="F32"):
        return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}

    body = b"\0" * 16
    yield "length_huge", _header({}, length=2**63)
    yield "length_100mb", _header({"a": tensor(0, 8)}, body, length=99_999_999)
    yield "length_zero", _header(b"{}", length=0)
    yield "overlap", _header({"a": tensor(0, 8), "b": tensor(4, 12)}, body[:12])
    yield "same", _header({"a": tensor(0, 8), "b": tensor(0, 8)}, body[:8])
    yield "hole", _header({"a": tensor(0, 4, (1,)), "b": tensor(8, 16)}, body)
    yield "outside", _header({"a": tensor(0, 1 << 40, (1 << 38,))}, body)
    yield "negative", _header(b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[-8,0]}}', body)
    yield "backwards", _header({"a": tensor(8, 0)}, body)
    yield "overflow", _header({"a": tensor(0, 16, (2**62, 2**62))}, body)
    yield "type", _header({"a": tensor(0, 8, dtype="PICKLE")}, body[:8])
    yield "twice", _header(b'{"a":%s,"a":%s}' % (json.dumps(tensor(0, 8)).encode(), json.dumps(tensor(8, 16)).encode()), body)
    yield "deep", _header(b'{"a":' * 100_000)
    yield "no_text", _header(b'{"\xff\xfe":1}')
    yield "tail", _header({"a": tensor(0, 8)}, body)
    yield "metadata", _header({"__metadata__": {"a": {"b": 1}}, "a": tensor(0, 8)}, body[:8])
    yield "checksum", _header({"__metadata__": {"mmbeit3_crc32": "12345678"}, "a": tensor(0, 8)}, body[:8])


def bad_zips(content):
    """Yield (name, content) of archives made from a ``.pth`` file with unusual records."""

    def packed(change=lambda name: [name], compression=zipfile.ZIP_STORED, more=()):
        file = io.BytesIO()
        with (
            zipfile.ZipFile(io.BytesIO(content)) as source,
            zipfile.ZipFile(file, "w", compression) as target,
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            for name in source.namelist():
                for new in change(name):
                    target.writestr(new, source.read(name))
            for name in more:
                target.writestr(name, b"evil")
        return file.getvalue()

    yield "compressed", packed(compression=zipfile.ZIP_DEFLATED)
    yield "twice", packed(lambda name: [name, name])
    yield "outside", packed(more=("../../evil", "/tmp/evil_entry", "..\\evil"))
    yield "renamed", packed(lambda name: [f"../../{name}"])
    yield "absolute", packed(lambda name: [f"/{name}"])
    yield "no_data", packed(lambda name: [] if name.endswith("/data/0") else [name])
    yield "no_pickle", packed(lambda name: [] if name.endswith("data.pkl") else [name])
    yield "empty", packed(lambda name: [])


def bad_states(state, seed=0):
    """Yield (name, state) with wrong sizes, types and values, and with unusual keys."""
    chance = random.Random(seed)
    names = [name for name, tensor in state.items() if tensor.ndim > 1]
    changes = {
        "wider": lambda t: torch.cat([t, t], -1),
        "turned": lambda t: t.transpose(0, -1)[..., :-1],
        "flat": lambda t: t.flatten(),
        "scalar": lambda t: t.flatten()[0],
        "empty": lambda t: t[:0],
        "whole": lambda t: t.long(),
        "bool": lambda t: t > 0,
        "complex": lambda t: t.to(torch.complex64),
        "sparse": lambda t: t.float().to_sparse(),
        "endless": lambda t: t.flatten()[:1].expand(10**9),
        "nan": lambda t: t.index_fill(0, torch.tensor([0]), float("nan")),
        "inf": lambda t: t.index_fill(0, torch.tensor([0]), float("-inf")),
    }
    for kind, change in changes.items():
        for name in chance.sample(names, 3):
            yield f"{kind}_{name}", {**state, name: change(state[name])}
    for number, key in enumerate((*KEYS, f"vision.layers.{'9' * 5000}.evil")):
        yield f"key_{number}", {**state, key: torch.ones(2)}


def saved(state, safetensors):
    """Return a state dict's file as bytes: PyTorch's format, or safetensors if a path for it is given."""
    if safetensors is None:
        return _save({"model": state}, "zip")
    write_safetensors(state, safetensors)
    return safetensors.read_bytes()
