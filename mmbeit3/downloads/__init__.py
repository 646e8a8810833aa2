"""Downloads: files that are verified and cached on disk, and small files read into memory.

No library replaces this package: pooch 1.9.0 has neither resumed downloads nor a lock between processes, and huggingface_hub
2.4.0 downloads from Hugging Face's hub only and deletes the partial file of a failed download.
"""

from mmbeit3.downloads.cache import cache_path
from mmbeit3.downloads.fetching import fetch
from mmbeit3.downloads.retry import RetryPolicy
from mmbeit3.downloads.url import is_url
from mmbeit3.downloads.verified import download

__all__ = ["RetryPolicy", "cache_path", "download", "fetch", "is_url"]
