"""Public data sets that are downloaded, converted to the layouts of ``docs/own-data.md``, and checked."""

from mmbeit3.datasets.prepared.index import KnownDataset, find_known, read_known
from mmbeit3.datasets.prepared.run import Prepared, next_step, prepare_dataset

__all__ = ["KnownDataset", "Prepared", "find_known", "next_step", "prepare_dataset", "read_known"]
