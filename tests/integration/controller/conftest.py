"""A cluster for each test, with one live agent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from netmgr.kube import paths
from tests.integration.apiserver import ApiServer
from tests.integration.controller.cluster import Cluster
from tests.integration.controller.lost_node import LostNode


@pytest.fixture
def cluster(api_server: ApiServer, namespace: str, tmp_path: Path) -> Iterator[Cluster]:
    """A namespace with a live agent on one node; no subnet yet."""
    made = Cluster(api_server, namespace, tmp_path)
    made.agent()
    yield made
    made.clean()


@pytest.fixture
def other(cluster: Cluster) -> Cluster:
    """A second namespace of the same cluster, under the same controller."""
    name = f"{cluster.namespace}-too"
    cluster.create(paths.NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    return Cluster(cluster.server, name, cluster.folder)


@pytest.fixture
def lost(cluster: Cluster) -> Iterator[LostNode]:
    """A Node with an agent that was alive once."""
    node = LostNode(cluster)
    yield node
    node.remove()
