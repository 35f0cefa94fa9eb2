"""The client, the reflector and the Lease against the real API server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from netmgr.api.meta import Json, ObjectReference, PartialObject
from netmgr.api.workload import Lease
from netmgr.kube.client import Api
from netmgr.kube.config import load
from netmgr.kube.errors import AlreadyExists, Conflict, Forbidden, LeaseLost, NotFound
from netmgr.kube.events import EventRecorder
from netmgr.kube.leader import LeaderLease
from netmgr.kube.paths import EVENTS, LEASES, in_namespace, named
from netmgr.kube.reflector import EventKind, Reflector
from netmgr.kube.update import update
from tests.carriers import CARRIERS, Carrier
from tests.integration.apiserver import ApiServer

MAPS = "/api/v1/configmaps"


@pytest.fixture(params=CARRIERS)
def transport(request: pytest.FixtureRequest) -> Carrier:
    """Each way of carrying requests."""
    carrier: Carrier = request.param
    return carrier


def config_map(name: str) -> Json:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}


@asynccontextmanager
async def reflecting(reflector: Reflector[PartialObject]) -> AsyncIterator[None]:
    task = asyncio.create_task(reflector.run())
    try:
        await reflector.synced.wait()
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def test_a_stale_delete_is_refused(api_server: ApiServer, namespace: str, transport: Carrier) -> None:
    async def scene() -> None:
        async with Api(load(api_server.kubeconfig), transport=transport) as api:
            home = in_namespace(MAPS, namespace)
            first = await api.create(home, config_map("a"), PartialObject)
            with pytest.raises(AlreadyExists):
                await api.create(home, config_map("a"), PartialObject)
            path, meta = named(MAPS, "a", namespace=namespace), first.metadata
            await api.merge_patch(path, {"data": {"k": "v"}}, PartialObject)
            with pytest.raises(Conflict):
                await api.delete(path, uid=meta.uid, resource_version=meta.resource_version)
            with pytest.raises(Conflict):
                await api.delete(path, uid="another")
            with pytest.raises(Conflict):
                await api.merge_patch(path, {"metadata": {"uid": "another"}, "data": {}}, PartialObject)
            await api.delete(path, uid=meta.uid)
            with pytest.raises(NotFound):
                await api.get(path, PartialObject)

    asyncio.run(scene())


def test_a_user_without_rights_is_refused_and_its_requests_are_counted(
    api_server: ApiServer, namespace: str, transport: Carrier
) -> None:
    async def scene() -> None:
        async with Api(load(api_server.kubeconfig_of("nobody")), transport=transport, user_agent=f"count-{namespace}") as api:
            with pytest.raises(Forbidden):
                await api.list(in_namespace(MAPS, namespace), PartialObject)

    asyncio.run(scene())
    assert api_server.request_counts(f"count-{namespace}") == {("list", "configmaps"): 1}


def test_a_lost_race_is_run_again(api_server: ApiServer, namespace: str, transport: Carrier) -> None:
    async def scene() -> dict[str, str] | None:
        async with Api(load(api_server.kubeconfig), transport=transport) as api:
            path = named(MAPS, "race", namespace=namespace)
            stale = await api.create(in_namespace(MAPS, namespace), config_map("race"), PartialObject)
            await api.merge_patch(path, {"metadata": {"labels": {"other": "1"}}}, PartialObject)
            change: Json = {"metadata": {"labels": {"mine": "1"}}}
            changed = await update(api, path, PartialObject, lambda _: change, current=stale)
            return changed.metadata.labels

    assert asyncio.run(scene()) == {"other": "1", "mine": "1"}


def test_a_list_in_pages_is_complete(api_server: ApiServer, namespace: str, transport: Carrier) -> None:
    async def scene() -> set[str]:
        async with Api(load(api_server.kubeconfig), transport=transport) as api:
            home = in_namespace(MAPS, namespace)
            await asyncio.gather(*(api.create(home, config_map(f"m{number}"), PartialObject) for number in range(11)))
            return {one.metadata.name for one in await api.list(home, PartialObject, page=3)}

    assert asyncio.run(scene()) == {f"m{number}" for number in range(11)}


def test_the_reflector_outlives_a_killed_api_server(own_api_server: ApiServer, transport: Carrier) -> None:
    reported: list[tuple[EventKind, str]] = []

    async def scene() -> None:
        async with Api(load(own_api_server.kubeconfig), transport=transport, timeout=3.0) as api:
            home = in_namespace(MAPS, "default")
            reflector = Reflector(
                api, home, PartialObject, on_event=lambda kind, item, _: reported.append((kind, item.metadata.name))
            )
            await api.create(home, config_map("before"), PartialObject)
            async with reflecting(reflector):
                own_api_server.kill_server()
                await asyncio.to_thread(own_api_server.start_server)
                await api.delete(named(MAPS, "before", namespace="default"))
                after = await api.create(home, config_map("after"), PartialObject)
                await reflector.wait_at_least(after.metadata.resource_version)
                assert set(reflector.store) == {"default/after"}

    asyncio.run(scene())
    assert reported == [(EventKind.ADDED, "before"), (EventKind.DELETED, "before"), (EventKind.ADDED, "after")]


def lease(api: Api, namespace: str, identity: str) -> LeaderLease:
    return LeaderLease(api, namespace, "leader", identity, duration=2.0, deadline=1.2, period=0.2)


def test_one_leads_and_the_other_follows_when_it_gives_the_lease_back(
    api_server: ApiServer, namespace: str, transport: Carrier
) -> None:
    async def scene() -> str | None:
        async with Api(load(api_server.kubeconfig), transport=transport) as api:
            first, second = lease(api, namespace, "first"), lease(api, namespace, "second")
            await first.acquire()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(second.acquire(), 0.8)
            await first.release()
            assert not first.valid()
            await asyncio.wait_for(second.acquire(), 1.0)
            found = await api.get(named(LEASES, "leader", namespace=namespace), Lease)
            return found.spec.holder_identity

    assert asyncio.run(scene()) == "second"


def test_a_leader_that_is_overthrown_ends_and_releases_nothing(api_server: ApiServer, namespace: str, transport: Carrier) -> None:
    async def scene() -> str | None:
        async with Api(load(api_server.kubeconfig), transport=transport) as api:
            path = named(LEASES, "leader", namespace=namespace)
            running = asyncio.create_task(lease(api, namespace, "first").run(_lead))
            while not await _held(api, path):  # noqa: ASYNC110 - another task changes it
                await asyncio.sleep(0.02)
            await api.merge_patch(path, {"spec": {"holderIdentity": "usurper"}}, Lease)
            with pytest.raises(LeaseLost):
                await asyncio.wait_for(running, 3.0)
            return (await api.get(path, Lease)).spec.holder_identity

    assert asyncio.run(scene()) == "usurper"


def test_a_dead_leader_is_followed_after_the_duration(api_server: ApiServer, namespace: str, transport: Carrier) -> None:
    async def scene() -> float:
        async with Api(load(api_server.kubeconfig), transport=transport) as api:
            await lease(api, namespace, "dead").acquire()
            begun = asyncio.get_running_loop().time()
            await asyncio.wait_for(lease(api, namespace, "heir").acquire(), 5.0)
            return asyncio.get_running_loop().time() - begun

    assert asyncio.run(scene()) >= 2.0


async def _lead() -> None:
    await asyncio.Event().wait()


async def _held(api: Api, path: str) -> bool:
    try:
        return bool((await api.get(path, Lease)).spec.holder_identity)
    except NotFound:
        return False


def test_the_same_event_is_counted_not_repeated(api_server: ApiServer, namespace: str, transport: Carrier) -> None:
    about = ObjectReference(kind="Pod", api_version="v1", namespace=namespace, name="a", uid="u")

    async def scene() -> int:
        async with Api(load(api_server.kubeconfig), transport=transport) as api:
            recorder = EventRecorder(api, "test", rate=1000.0)
            task = asyncio.create_task(recorder.run())
            for _ in range(5):
                recorder.record(about, "Warning", "NoAddress", "pool p is full")
                await asyncio.sleep(0.05)
            task.cancel()
            return len(await api.list(in_namespace(EVENTS, namespace), PartialObject))

    assert asyncio.run(scene()) == 1


def test_what_an_earlier_process_said_is_said_again_and_nothing_is_dropped(
    api_server: ApiServer, namespace: str, transport: Carrier
) -> None:
    about = ObjectReference(kind="Pod", api_version="v1", namespace=namespace, name="a", uid="u")

    async def scene() -> tuple[int, int, int]:
        async with Api(load(api_server.kubeconfig), transport=transport) as api:
            for recorder in (first := EventRecorder(api, "test"), second := EventRecorder(api, "test")):
                recorder.record(about, "Warning", "NoAgent", "node a has no agent")
                await recorder.flush()
            return (
                first.dropped + second.dropped,
                second.written,
                len(await api.list(in_namespace(EVENTS, namespace), PartialObject)),
            )

    assert asyncio.run(scene()) == (0, 1, 1)
