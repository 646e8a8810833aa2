"""One file on the test server, and a download with short waits."""

import hashlib

from mmbeit3.downloads import RetryPolicy, download

CONTENT = bytes(range(256)) * 200
SHA256 = hashlib.sha256(CONTENT).hexdigest()
POLICY = RetryPolicy(timeout=2.0, tries=3, corrupt_tries=2, backoff=0.002)


def get(*addresses, **known):
    return download(addresses, policy=POLICY, **known)
