"""Images, texts and pairs for pretraining from files or tar shards: shuffled, split between ranks and workers, resumable."""

from mmbeit3.pretrain.data.image_files import ImageFolder, ImageList
from mmbeit3.pretrain.data.indexed import JoinedRecords
from mmbeit3.pretrain.data.local import PairFiles, TextFiles
from mmbeit3.pretrain.data.records import Records, open_records
from mmbeit3.pretrain.data.resumable import ResumableDataset
from mmbeit3.pretrain.data.shards import TarShards
from mmbeit3.pretrain.data.source import RecordSource
from mmbeit3.pretrain.data.types import BadRecordError, LazyRecord, Reader, Record

__all__ = [
    "BadRecordError",
    "ImageFolder",
    "ImageList",
    "JoinedRecords",
    "LazyRecord",
    "PairFiles",
    "Reader",
    "Record",
    "RecordSource",
    "Records",
    "ResumableDataset",
    "TarShards",
    "TextFiles",
    "open_records",
]
