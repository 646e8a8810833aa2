"""200 downloads from servers with random, seeded faults: each ends with the correct file or a one-line error.

The required outcome of a run follows from its faults: each fault costs at most a known number of tries.
"""

import hashlib
import io
import random
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from mmbeit3.checkpoint import read_state_dict
from mmbeit3.downloads import RetryPolicy, cache_path, download
from mmbeit3.errors import UserError
from tests.downloads.server import LASTING, Served

RUNS = 200
POLICY = RetryPolicy(timeout=0.6, tries=12, corrupt_tries=2, backoff=0.002, max_backoff=0.01)
MARGIN = 6
"""Tries in reserve for failures that a busy machine adds."""

COSTS = {  # at most: tries, and complete but corrupt transfers
    "drop": (1, 0),
    "drop_at_once": (1, 0),
    "drop_damaged": (2, 1),
    "drop_old_version": (1, 0),
    "cut": (1, 0),
    "stall": (1, 0),
    "stall_at_once": (1, 0),
    "wrong_bytes": (1, 1),
    "announced_short": (1, 1),
    "announced_long": (2, 0),
    "wrong_range": (1, 0),
    "other_version": (1, 0),
    "page": (1, 1),
    "busy": (1, 0),
}
SOUND_ENDS = ("announced_long", "wrong_bytes")
"""Faults after which a resumed transfer may still have received correct bytes to the end."""


def saved(seed):
    """A checkpoint of about 20 kB, in PyTorch's format."""
    file = io.BytesIO()
    tensors = {"a": torch.randn(60, 60, generator=torch.Generator().manual_seed(seed)), "b": torch.arange(500)}
    torch.save({"model": tensors}, file)
    return file.getvalue(), tensors


def draw(rng, content, old):
    """Draw one source: its faults, and its state after them."""
    weights = [1 if kind.startswith("stall") else 3 for kind in COSTS]  # stalls are slow, so they are rarer
    faults = [rng.choices(list(COSTS), weights)[0] for _ in range(rng.choice((0, 1, 1, 2, 2, 3, 4)))]
    if rng.random() < 0.2:
        faults.insert(rng.randrange(len(faults) + 1), rng.choice(LASTING))
    at = rng.randrange(len(content))
    return Served(
        content,
        faults,
        dead=rng.random() < 0.3,
        ignores_range=rng.random() < 0.2,
        etag=None if rng.random() < 0.1 else "by content",
        cut=rng.uniform(0.01, 0.99),
        flipped=slice(at, at + rng.randint(1, 16)),
        old=old,
    )


def ends(served):
    """Return (the source certainly provides the file, it certainly does not)."""
    tries = spoils = 0
    may_give = False
    for fault in served.faults:
        if fault in LASTING:
            # The source may also be given up before this fault.
            return False, not may_give
        may_give |= fault in SOUND_ENDS
        tries += COSTS[fault][0]
        spoils += COSTS[fault][1]
    lost = served.dead and not may_give
    return not served.dead and tries + MARGIN < POLICY.tries and spoils < POLICY.corrupt_tries, lost


class Run:
    """One download with the sources of a seed."""

    def __init__(self, server, seed):
        rng = random.Random(seed)
        self.content, self.tensors = saved(seed)
        old, _ = saved(seed + 10_000)
        self.sources = []
        outcomes = []
        for number in range(rng.choice((1, 1, 2, 3))):
            path = f"/{seed}/{number}/weights.pth"
            server.files[path] = served = draw(rng, self.content, old)
            outcomes.append(ends(served))
            self.sources.append(server.address(path))
        self.served = [server.files[f"/{seed}/{number}/weights.pth"] for number in range(len(outcomes))]
        self.faults = [(list(served.faults), served.dead) for served in self.served]
        self.known = {}
        if rng.random() < 0.5:
            self.known["sha256"] = hashlib.sha256(self.content).hexdigest()
            if rng.random() < 0.5:
                self.known["size"] = len(self.content)
        self.recoverable = any(gives for gives, _ in outcomes)
        self.hopeless = all(lost for _, lost in outcomes)

    def __call__(self):
        try:
            path = download(self.sources, check=read_state_dict, policy=POLICY, **self.known)
        except UserError as error:
            return self.fail(str(error))
        assert not self.hopeless, self.faults
        self.check(path)
        return "whole"

    def fail(self, message):
        assert "\n" not in message
        assert "cannot be downloaded" in message
        assert not cache_path(self.sources[0]).exists()
        assert not self.recoverable, (self.faults, message)
        return "failed"

    def check(self, path):
        found = read_state_dict(path)
        assert all(torch.equal(found[name], tensor) for name, tensor in self.tensors.items()), self.faults
        assert len(found) == len(self.tensors)
        if self.known:
            assert path.read_bytes() == self.content

    def again(self):
        """Download again from sources without faults, on top of the partial files."""
        for served in self.served:
            served.faults, served.dead = [], False
        self.check(download(self.sources, check=read_state_dict, policy=POLICY, **self.known))


def test_seeded_faults(server, home):
    runs = [Run(server, seed) for seed in range(RUNS)]
    # Most runs have an outcome that is known in advance, and both outcomes occur.
    assert sum(run.recoverable for run in runs) > 0.4 * RUNS
    assert sum(run.hopeless for run in runs) > 0.15 * RUNS
    assert sum(run.recoverable or run.hopeless for run in runs) > 0.8 * RUNS
    with ThreadPoolExecutor(12) as pool:
        outcomes = list(pool.map(lambda run: run(), runs))
        failed = [run for run, outcome in zip(runs, outcomes, strict=True) if outcome == "failed"]
        list(pool.map(lambda run: run.again(), failed))
    print(f"{outcomes.count('whole')} whole, {len(failed)} failed and whole later")
    assert not list(home.rglob("*.part")), "nothing is left over"


@pytest.mark.parametrize("fault", [*COSTS, *LASTING, "trickle", "redirect_within"])
def test_each_fault(server, home, fault):
    """Each fault once, with an unknown hash, to prove that the faults above take effect."""
    content, tensors = saved(0)
    server.files["/elsewhere"] = Served(content)
    server.files["/weights.pth"] = served = Served(content, [fault], flipped=slice(5000, 5010), old=saved(1)[0])
    address = server.address("/weights.pth")
    if fault in LASTING:
        expected = {"missing": "status 404", "redirect_away": "redirects to http://localhost:"}[fault]
        with pytest.raises(UserError, match=expected):
            download([address], check=read_state_dict, policy=POLICY)
        assert server.requests["/weights.pth"] == 1
    else:
        path = download([address], check=read_state_dict, policy=POLICY)
        assert path.read_bytes() == content
        assert len(read_state_dict(path)) == len(tensors)
        requests = 1 if fault == "redirect_within" else 1 + max(COSTS.get(fault, (1, 0))[0], 1)
        assert server.requests["/weights.pth"] == requests
    assert served.faults == [one for one in (fault,) if one in LASTING]
