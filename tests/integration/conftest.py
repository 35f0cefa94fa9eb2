from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from netmgr.api.meta import PartialObject
from netmgr.kube.client import Api
from netmgr.kube.config import load
from netmgr.kube.paths import NAMESPACES
from tests.integration.apiserver import ApiServer

_numbers = count(1)


@pytest.fixture(scope="session")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """One API server for the whole session, its CRDs applied; use a namespace a test, and names of your own."""
    server = ApiServer(tmp_path_factory.mktemp("apiserver"))
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def own_api_server(tmp_path: Path) -> Iterator[ApiServer]:
    """An API server for one test that kills it or needs an empty one."""
    server = ApiServer(tmp_path)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def namespace(api_server: ApiServer) -> str:
    """A new namespace."""
    name = f"test-{next(_numbers)}"

    async def create() -> None:
        async with Api(load(api_server.kubeconfig), user_agent="fixture") as api:
            body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            await api.create(NAMESPACES, body, PartialObject)

    asyncio.run(create())
    return name
