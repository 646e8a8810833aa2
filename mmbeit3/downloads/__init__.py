"""Files from the network: whole, checked, at one place of the cache, and fetched once; and small ones, into memory."""

from mmbeit3.downloads.fetching import fetch, is_address
from mmbeit3.downloads.places import place_of
from mmbeit3.downloads.transfer import Patience
from mmbeit3.downloads.verified import download

__all__ = ["Patience", "download", "fetch", "is_address", "place_of"]
