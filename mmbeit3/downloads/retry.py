"""Download errors, and the policy that decides when to retry."""

from __future__ import annotations

import time
from dataclasses import dataclass

__all__ = ["CorruptError", "PermanentError", "RetryPolicy", "StalePartError", "TransientError"]


class PermanentError(Exception):
    """A failure that a retry would not fix; the message is a short phrase for the user."""


class TransientError(Exception):
    """A failure after which the download is retried.

    Args:
        problem: a short phrase for the user.
        retry_after: seconds that the server asks to wait.
    """

    def __init__(self, problem: str, retry_after: float = 0.0) -> None:
        super().__init__(problem)
        self.retry_after = retry_after


class StalePartError(TransientError):
    """The partial file does not belong to the server's current version of the file."""


class CorruptError(TransientError):
    """The file arrived completely and failed verification."""


@dataclass(frozen=True)
class RetryPolicy:
    """Timeouts and limits of retries for one source.

    Attributes:
        timeout: seconds without data after which a connection is closed.
        tries: consecutive failures after which the source is given up.
        corrupt_tries: complete but corrupt transfers after which the source is given up.
        backoff: seconds before the first retry; doubled before each further one.
        max_backoff: upper limit of the wait in seconds, also if the server asks for more.
    """

    timeout: float = 30.0
    tries: int = 5
    corrupt_tries: int = 2
    backoff: float = 1.0
    max_backoff: float = 60.0

    def wait(self, failures: int, error: TransientError) -> None:
        """Sleep before the retry that follows a number of consecutive failures."""
        time.sleep(min(max(self.backoff * 2 ** (failures - 1), error.retry_after), self.max_backoff))
