from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.agent.node import Node
from tests.integration.apiserver import ApiServer


@pytest.fixture
def node(api_server: ApiServer, tmp_path: Path) -> Iterator[Node]:
    """A node without a running agent."""
    one = Node(api_server, tmp_path)
    try:
        one.up()
        yield one
    finally:
        one.down()


@pytest.fixture
def live(node: Node) -> Node:
    """A node whose agent runs."""
    node.start_agent()
    return node
