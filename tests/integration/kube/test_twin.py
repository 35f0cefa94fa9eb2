"""The twin in memory answers as the real API server does: what the state machines show then holds for the real one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest

from netmgr.api import spider
from netmgr.api.meta import Json, PartialObject
from netmgr.api.spider import SpiderIPPool
from netmgr.kube.client import Api
from netmgr.kube.config import load
from netmgr.kube.errors import AlreadyExists, Conflict, NotFound
from netmgr.kube.paths import named
from tests.integration.apiserver import ApiServer
from tests.twins import ApiTwin, TwinApi

NAME = "contract"
PATH = named(spider.POOLS, NAME)
Act = Callable[[Api], Awaitable[Any]]


@pytest.fixture(params=["twin", "real"])
def ask(request: pytest.FixtureRequest, api_server: ApiServer) -> Callable[[Act], Any]:
    """Runs one scene against the twin or the real server, on a pool that is there and goes afterwards."""

    @asynccontextmanager
    async def client() -> AsyncIterator[Api]:
        if request.param == "twin":
            yield TwinApi(ApiTwin(asyncio.get_running_loop().time), "test")
            return
        async with Api(load(api_server.kubeconfig), user_agent="test") as api:
            yield api

    async def scene(act: Act) -> Any:
        async with client() as api:
            await api.create(spider.POOLS, body(), SpiderIPPool)
            try:
                return await act(api)
            finally:
                await gone(api)

    return lambda act: asyncio.run(scene(act))


def body() -> Json:
    spec = {"subnet": "10.88.0.0/24", "ips": ["10.88.0.1"]}
    return {"apiVersion": spider.GROUP_VERSION, "kind": "SpiderIPPool", "metadata": {"name": NAME}, "spec": spec}


async def gone(api: Api) -> None:
    try:
        await api.merge_patch(PATH, {"metadata": {"finalizers": None}}, PartialObject)
        await api.delete(PATH)
    except NotFound:
        return


def test_a_name_is_taken_once(ask: Callable[[Act], Any]) -> None:
    with pytest.raises(AlreadyExists):
        ask(lambda api: api.create(spider.POOLS, body(), SpiderIPPool))


@pytest.mark.parametrize("guard", [{"resourceVersion": "1"}, {"uid": "00000000-0000-4000-8000-00000000dead"}])
def test_a_patch_of_another_version_or_object_is_refused(ask: Callable[[Act], Any], guard: Json) -> None:
    with pytest.raises(Conflict):
        ask(lambda api: api.merge_patch(PATH, {"metadata": guard, "spec": {"disable": True}}, SpiderIPPool))


def test_a_delete_of_what_has_changed_is_refused(ask: Callable[[Act], Any]) -> None:
    async def scene(api: Api) -> None:
        before = (await api.get(PATH, PartialObject)).metadata
        await api.merge_patch(PATH, {"metadata": {"labels": {"a": "b"}}}, PartialObject)
        await api.delete(PATH, uid=before.uid, resource_version=before.resource_version)

    with pytest.raises(Conflict):
        ask(scene)


def test_a_patch_that_changes_nothing_makes_no_version(ask: Callable[[Act], Any]) -> None:
    async def scene(api: Api) -> tuple[str, str]:
        before = await api.merge_patch(PATH, {"spec": {"ips": ["10.88.0.2"]}}, PartialObject)
        after = await api.merge_patch(PATH, {"spec": {"ips": ["10.88.0.2"]}}, PartialObject)
        return before.metadata.resource_version, after.metadata.resource_version

    before, after = ask(scene)
    assert before == after


def test_status_and_spec_are_written_apart(ask: Callable[[Act], Any]) -> None:
    async def scene(api: Api) -> SpiderIPPool:
        both: Json = {"spec": {"ips": ["10.88.0.7"]}, "status": {"allocatedIPCount": 5}}
        await api.merge_patch(f"{PATH}/status", both, SpiderIPPool)
        return await api.merge_patch(PATH, {"status": {"allocatedIPCount": 9}}, SpiderIPPool)

    seen = ask(scene)
    assert (seen.spec.ips, seen.status.allocated_ip_count) == (["10.88.0.1"], 5)


def test_the_generation_counts_changes_of_the_spec(ask: Callable[[Act], Any]) -> None:
    async def scene(api: Api) -> int:
        await api.merge_patch(f"{PATH}/status", {"status": {"allocatedIPCount": 5}}, PartialObject)
        return (await api.merge_patch(PATH, {"spec": {"disable": True}}, PartialObject)).metadata.generation

    assert ask(scene) == 2


def test_a_finalizer_holds_an_object_back_and_its_end_ends_it(ask: Callable[[Act], Any]) -> None:
    async def scene(api: Api) -> str | None:
        await api.merge_patch(PATH, {"metadata": {"finalizers": ["netmgr.io/test"]}}, PartialObject)
        await api.delete(PATH)
        held = await api.get(PATH, PartialObject)
        await api.merge_patch(PATH, {"metadata": {"finalizers": []}}, PartialObject)
        with pytest.raises(NotFound):
            await api.get(PATH, PartialObject)
        return held.metadata.deletion_timestamp

    assert ask(scene)


def test_a_watch_shows_every_change_in_order(ask: Callable[[Act], Any]) -> None:
    async def scene(api: Api) -> list[str]:
        listed = await api.list_page(spider.POOLS, PartialObject)
        await api.merge_patch(PATH, {"metadata": {"labels": {"a": "b"}}}, PartialObject)
        await api.delete(PATH)
        kinds: list[str] = []
        query = {"resourceVersion": listed.metadata.resource_version, "fieldSelector": f"metadata.name={NAME}"}
        async with aclosing(api.watch(spider.POOLS, query, silence=10.0)) as lines:
            async for line in lines:
                kinds.append(line.decode().partition('"type":')[2].split('"')[1])
                if kinds[-1] == "DELETED":
                    break
        return kinds

    assert ask(scene) == ["MODIFIED", "DELETED"]
