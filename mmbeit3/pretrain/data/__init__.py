"""Raw records for pretraining: images, texts and pairs, from files or from tar shards, shuffled, sharded and resumable."""

from mmbeit3.pretrain.data.local import ImageFolder, PairFiles, TextFiles
from mmbeit3.pretrain.data.records import Records, open_records
from mmbeit3.pretrain.data.resumable import ResumableDataset
from mmbeit3.pretrain.data.shards import TarShards
from mmbeit3.pretrain.data.source import RecordSource
from mmbeit3.pretrain.data.types import BadRecordError, Entry, Place, Record

__all__ = [
    "BadRecordError",
    "Entry",
    "ImageFolder",
    "PairFiles",
    "Place",
    "Record",
    "RecordSource",
    "Records",
    "ResumableDataset",
    "TarShards",
    "TextFiles",
    "open_records",
]
