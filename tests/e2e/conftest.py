"""One lab for the session; it is taken down at the end unless it was running before."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.cluster import Cluster, installed
from tests.leftovers import left_of
from tests.waiting import eventually
from topology.lab import Lab


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The lab single-tor with netmgr installed, its router as neighbor and the walk-through's subnet."""
    lab = Lab.open("single-tor")
    was_up = lab.is_up()
    lab.up()
    try:
        ready = installed(lab)
        eventually(
            lambda: ready.kubectl("get", "nodes", "--no-headers"),
            lambda text: text.count(" Ready ") == 2,
            what="both nodes Ready",
        )
        yield ready
    finally:
        if not was_up:
            lab.down()
            assert left_of(lab) == []
