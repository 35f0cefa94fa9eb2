from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.apiserver import ApiServer
from tests.integration.controller.cluster import Cluster
from tests.integration.importing.spiderpool import Spiderpool


@pytest.fixture
def cluster(api_server: ApiServer, namespace: str, tmp_path: Path) -> Iterator[Cluster]:
    """A namespace with a live agent on one node."""
    made = Cluster(api_server, namespace, tmp_path)
    empty(made)
    made.agent()
    yield made
    empty(made)


def empty(made: Cluster) -> None:
    """An import looks at the whole cluster: nothing of other tests may be there, and nothing of Spiderpool stay."""
    made.server.kubectl("delete", "pods", "--all", "--all-namespaces", "--force")
    made.server.kubectl("delete", "deployments,replicasets,statefulsets", "--all", "--all-namespaces")
    made.server.kubectl("delete", "leases", "--all", "--namespace", made.namespace)
    made.clean()


@pytest.fixture
def theirs(cluster: Cluster) -> Spiderpool:
    """A cluster in which Spiderpool has been, and runs no more."""
    made = Spiderpool(cluster)
    made.subnet("10.67.1.0-10.67.2.255")
    return made
