"""Files from the network: whole, checked, at one place of the cache, and fetched once."""

from mmbeit3.downloads.places import place_of
from mmbeit3.downloads.transfer import Patience
from mmbeit3.downloads.verified import download

__all__ = ["Patience", "download", "place_of"]
