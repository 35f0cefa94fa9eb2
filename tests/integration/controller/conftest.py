"""A cluster for each test, with one live agent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.apiserver import ApiServer
from tests.integration.controller.cluster import Cluster


@pytest.fixture
def cluster(api_server: ApiServer, namespace: str, tmp_path: Path) -> Iterator[Cluster]:
    """A namespace with a live agent on one node; no subnet yet."""
    made = Cluster(api_server, namespace, tmp_path)
    made.agent()
    yield made
    made.clean()
