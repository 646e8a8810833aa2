"""The beginning of a file whose download broke off, and what it is the beginning of."""

from __future__ import annotations

import json
from pathlib import Path

from mmbeit3.downloads.connection import Answer

__all__ = ["Part"]


class Part:
    """Two files beside the target: what came so far, and from which address, in which version.

    Args:
        target: where the whole file will lie.
    """

    def __init__(self, target: Path) -> None:
        self.path = target.with_name(f".{target.name}.part")
        self._about = target.with_name(f".{target.name}.part.json")

    @property
    def size(self) -> int:
        """Bytes that came."""
        return self.path.stat().st_size if self.path.is_file() else 0

    def known(self, url: str) -> dict[str, object]:
        """What was said of the file whose beginning this is: ``total``, ``etag``, ``digests``.

        Empty if nothing came, if it came from another address, or if its version is unknown: then it cannot be continued.
        """
        try:
            about = json.loads(self._about.read_bytes())
        except (OSError, ValueError):
            return {}
        whole = isinstance(about, dict) and about.get("url") == url and about.get("etag") and about.get("total")
        return about if whole and 0 < self.size <= about["total"] else {}

    def begin(self, url: str, answer: Answer) -> None:
        """Start anew with another answer; what came before goes."""
        self.discard()
        about = {"url": url, "etag": answer.etag, "total": answer.total, "digests": answer.digests}
        # Need not survive a crash by half: what cannot be read is as if nothing had come.
        self._about.write_text(json.dumps(about), encoding="utf-8")

    def discard(self) -> None:
        """Remove both files."""
        self.path.unlink(missing_ok=True)
        self._about.unlink(missing_ok=True)

    def become(self, target: Path) -> None:
        """Give the whole file its name."""
        self.path.replace(target)
        self._about.unlink(missing_ok=True)
