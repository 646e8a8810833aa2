"""Damaged archives: every fault is reported, and members behind it are read."""

import bz2
import gzip
import io
import lzma
import random
import tarfile
from dataclasses import dataclass

import pytest

from mmbeit3.errors import UserError
from mmbeit3.pretrain.data import RecordSource, TarShards
from mmbeit3.pretrain.data.tar import Fault, Member, read_members

BLOCK = 512
FORMATS = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)


@dataclass
class Archive:
    """An archive and its members: name, first byte of the headers, and first byte behind the data of each."""

    data: bytes
    members: list


def make_archive(rng, count=8, start=0, form=None):
    """Make an archive with members of 0 to 3 blocks; some names need an extended header."""
    form = rng.choice(FORMATS) if form is None else form
    stream, members = io.BytesIO(), []
    with tarfile.open(fileobj=stream, mode="w", format=form) as tar:
        for number in range(start, start + count):
            long = form != tarfile.USTAR_FORMAT and rng.random() < 0.3
            name = f"{'folder/' * 20 if long else ''}{number:03d}.txt"
            content = f"text {number} ".encode() + bytes(rng.choices(b"abcdef ", k=rng.randrange(0, 3 * BLOCK)))
            info = tarfile.TarInfo(name)
            info.size = len(content)
            begin = tar.offset
            tar.addfile(info, io.BytesIO(content))
            members.append((name, begin, tar.offset))
    return Archive(stream.getvalue(), members)


def flipped(data, place, bit):
    return data[:place] + bytes([data[place] ^ (1 << bit)]) + data[place + 1 :]


def end_of(archive):
    return archive.members[-1][2]


def flip_in_a_header(rng, archive):
    name, begin, _ = rng.choice(archive.members)
    # The last byte of the checksum field is a filler without meaning.
    place = rng.choice([place for place in range(BLOCK) if place != 155])
    return flipped(archive.data, begin + place, rng.randrange(8)), {name}


def cut_at_a_border(rng, archive):
    number = rng.randrange(len(archive.members))
    lost = {name for name, _, _ in archive.members[number:]}
    return archive.data[: archive.members[number][1]], lost


def cut_anywhere(rng, archive):
    place = rng.randrange(1, end_of(archive) + BLOCK)
    return archive.data[:place], {name for name, _, end in archive.members if end > place}


def append(rng, archive):
    other = make_archive(rng, rng.randrange(1, 5), start=100)
    archive.members += other.members
    return archive.data + other.data, set()


def garbage_behind(rng, archive):
    return archive.data + rng.randbytes(rng.randrange(1, 3000)), set()


def flip_in_the_end(rng, archive):
    return flipped(archive.data, rng.randrange(end_of(archive), len(archive.data)), rng.randrange(8)), set()


def zeros_for_a_header(rng, archive):
    name, begin, _ = rng.choice(archive.members[:-1])
    return archive.data[:begin] + bytes(BLOCK) + archive.data[begin + BLOCK :], {name}


def blocks_overwritten(rng, archive):
    """Overwrite blocks from a header on; they may include another header."""
    _, begin, _ = rng.choice(archive.members)
    end = min(begin + BLOCK * rng.randrange(1, 6), end_of(archive))
    lost = {name for name, first, last in archive.members if first < end and last > begin}
    return archive.data[:begin] + rng.randbytes(end - begin) + archive.data[end:], lost


def blocks_missing(rng, archive):
    """Remove a header block, so that data is at its position."""
    _, begin, _ = rng.choice(archive.members[:-1])
    return archive.data[:begin] + archive.data[begin + BLOCK :], {name for name, b, _ in archive.members if b == begin}


DAMAGES = (
    flip_in_a_header,
    cut_at_a_border,
    cut_anywhere,
    append,
    garbage_behind,
    flip_in_the_end,
    zeros_for_a_header,
    blocks_overwritten,
    blocks_missing,
)


@pytest.mark.parametrize("damage", DAMAGES)
def test_every_fault_is_an_entry_and_no_later_record_is_lost(tmp_path, damage):
    for seed in range(35):
        rng = random.Random(seed)
        archive = make_archive(rng)
        data, lost = damage(rng, archive)
        (tmp_path / "a.tar").write_bytes(data)
        faults, found = 0, set()
        for entry in TarShards(tmp_path / "a.tar", "texts")._read(str(tmp_path / "a.tar")):
            if entry.key == "(archive)":
                faults += 1
            else:
                record = entry.load()
                assert record["text"].startswith(f"text {int(entry.key[-3:])} ")
                found.add(f"{entry.key}.txt")
        assert faults, seed
        assert found >= {name for name, _, _ in archive.members} - lost, seed
        # If an extended header is damaged, the full name may be lost, but not the data.
        assert {name[-7:] for name in found} <= {name[-7:] for name, _, _ in archive.members}, seed


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_whole_archives_are_read_as_by_tarfile(pack, form):
    for seed in range(10):
        archive = make_archive(random.Random(seed), form=form)
        with tarfile.open(fileobj=io.BytesIO(archive.data)) as tar:
            wanted = [Member(info.name, tar.extractfile(info).read()) for info in tar]
        assert list(read_members(io.BytesIO(pack(archive.data)))) == wanted


def test_records_are_those_of_webdataset(tmp_path):
    library = pytest.importorskip("webdataset.tariterators")
    names = ["a/1.x.TXT", "a/1.json", "__meta__/3.txt", "noext", "b.c/2.txt", "b.c/2.cls", "a/1.txt", ".hidden", "x/.d.txt"]
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for number, name in enumerate(names):
            info = tarfile.TarInfo(name)
            info.size = 1
            tar.addfile(info, io.BytesIO(b"%d" % number))
    from mmbeit3.pretrain.data.shards import _grouped

    with (tmp_path / "a.tar").open("rb") as file:
        ours = list(_grouped(read_members(file)))
    with (tmp_path / "a.tar").open("rb") as file:
        theirs = list(library.group_by_keys(library.tar_file_expander([{"url": "a", "stream": file}])))
    assert ours == [{key: value for key, value in sample.items() if key != "__url__"} for sample in theirs]


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_damage_of_what_packs_an_archive(pack):
    rng = random.Random(0)
    archive = make_archive(rng)
    packed = pack(archive.data)
    for data in (
        *(packed[:cut] for cut in rng.sample(range(10, len(packed)), 20)),
        *(flipped(packed, rng.randrange(20, len(packed) - 1), rng.randrange(8)) for _ in range(20)),
        packed + b"more",
        packed + pack(make_archive(rng).data)[:-9],
    ):
        parts = list(read_members(io.BytesIO(data)))
        assert any(isinstance(part, Fault) for part in parts)
    both = list(read_members(io.BytesIO(packed + bytes(7) + pack(make_archive(rng, start=100).data))))
    assert [part.reason for part in both if isinstance(part, Fault)] == [
        f"another archive follows the end mark: reading continues at byte {len(archive.data)}"
    ]
    assert sum(isinstance(part, Member) for part in both) == 16


def test_what_is_said(tmp_path):
    rng = random.Random(1)
    archive = make_archive(rng, form=tarfile.USTAR_FORMAT, count=3)
    begin, end = archive.members[1][1:]
    path = tmp_path / "a.tar"
    for data, match in (
        (
            flipped(archive.data, begin, 0),
            rf"a header is damaged \(its checksum is wrong\): {end - begin} bytes from byte {begin} ",
        ),
        (archive.data[:end], f"ends at byte {end} without its end mark"),
        (archive.data + archive.data, "another archive follows the end mark"),
        (b"", "ends at byte 0 without its end mark"),
    ):
        path.write_bytes(data)
        with pytest.raises(UserError, match=rf"'\(archive\)' of '.*a.tar': damaged archive \(.*{match}"):
            list(RecordSource(TarShards(path, "texts"), max_errors=0))


def test_sparse_members_are_named():
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        info = tarfile.TarInfo("a.txt")
        info.size, info.pax_headers = 3, {"GNU.sparse.major": "1"}
        tar.addfile(info, io.BytesIO(b"abc"))
    (fault,) = read_members(io.BytesIO(stream.getvalue()))
    assert "'a.txt' is a sparse file" in fault.reason
