"""A cluster for each test, with netmgr's objects installed and one live agent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.apiserver import ApiServer
from tests.integration.webhook.installed import Installed


@pytest.fixture
def cluster(api_server: ApiServer, namespace: str, tmp_path: Path) -> Iterator[Installed]:
    """A namespace for workloads; agents' Leases lie in netmgr's own."""
    made = Installed(api_server, namespace, tmp_path)
    made.install()
    made.agent()
    yield made
    made.uninstall()
    made.end_pods()
    made.clean()
