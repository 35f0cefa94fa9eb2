from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.agent.node import Node
from tests.integration.apiserver import ApiServer
from tests.integration.controller.cluster import Cluster


@pytest.fixture
def node(api_server: ApiServer, tmp_path: Path) -> Iterator[Node]:
    """A node whose agent gives up a waiting ADD at once."""
    one = Node(api_server, tmp_path)
    try:
        one.up()
        one.start_agent("--add-deadline", "0.05")
        yield one
    finally:
        one.down()


@pytest.fixture
def cluster(api_server: ApiServer, namespace: str, tmp_path: Path) -> Iterator[Cluster]:
    """A namespace with a live agent."""
    made = Cluster(api_server, namespace, tmp_path)
    made.agent()
    yield made
    made.clean()
