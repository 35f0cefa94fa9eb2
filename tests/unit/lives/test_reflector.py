"""A reflector that selects one node's allocations: objects come into its selection, leave it, become unreadable, are made anew."""

from __future__ import annotations

import asyncio
import contextlib

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from netmgr.api.allocation import ALLOCATIONS, IPAllocation
from netmgr.api.meta import Json
from netmgr.kube.client import Call
from netmgr.kube.paths import named
from netmgr.kube.reflector import Reflector
from netmgr.kube.store import EventKind
from tests.cases import lives
from tests.twins import ApiTwin, TwinApi
from tests.virtual_time import VirtualLoop

ADDRESS = st.sampled_from(["10.0.0.1", "10.0.0.2", "10.0.0.3"])
NODE = st.sampled_from(["ours", "theirs"])


class Reflections(RuleBasedStateMachine):
    """The copy is never ahead of the server, the events tell the copy's story, and in the end the copy is the selection."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = VirtualLoop()
        self.twin = ApiTwin(self.loop.time)
        self.api = TwinApi(self.twin, "reflector")
        self.told: dict[str, str] = {}
        self.loop.run_until_complete(self.begin())

    async def begin(self) -> None:
        selector = "spec.nodeName=ours"
        self.reflector = Reflector(self.api, ALLOCATIONS, IPAllocation, field_selector=selector, on_event=self.tell)
        self.task = asyncio.ensure_future(self.reflector.run())

    def tell(self, kind: EventKind, one: IPAllocation, old: IPAllocation | None) -> None:
        name = one.metadata.name
        before = None if kind is EventKind.ADDED else (old or one).metadata.uid
        assert self.told.get(name) == before, f"{kind} {name} after {self.told}"
        self.told[name] = one.metadata.uid
        if kind is EventKind.DELETED:
            del self.told[name]

    def ask(self, verb: str, path: str, body: Json) -> None:
        self.twin.handle(Call(verb, path, body=body), "test")

    @rule(address=ADDRESS, node=NODE)
    def an_allocation_is_made_or_moves(self, address: str, node: str) -> None:
        if (ALLOCATIONS, "", address) in self.twin.objects:
            self.ask("patch", named(ALLOCATIONS, address), {"spec": {"nodeName": node}})
        else:
            whole = {"address": address, "prefixLength": 24, "pool": "p", "nodeName": node, "interface": "eth0", "siblings": 1}
            self.ask("create", ALLOCATIONS, {"metadata": {"name": address}, "spec": {**whole, "claimant": {}, "pod": {"uid": "u"}}})

    @rule(address=ADDRESS)
    def one_is_deleted(self, address: str) -> None:
        if (ALLOCATIONS, "", address) in self.twin.objects:
            self.ask("delete", named(ALLOCATIONS, address), {})

    @rule(address=ADDRESS, siblings=st.sampled_from([1, 2, "one"]))
    def one_becomes_unreadable_or_readable_again(self, address: str, siblings: int | str) -> None:
        if (ALLOCATIONS, "", address) in self.twin.objects:
            self.ask("patch", named(ALLOCATIONS, address), {"spec": {"siblings": siblings}})

    @rule()
    def the_stream_breaks(self) -> None:
        self.api.cuts += 1
        self.api.poke()

    @rule()
    def the_stream_stands_still(self) -> None:
        self.api.stalled.add(ALLOCATIONS)

    @rule()
    def the_history_is_compacted(self) -> None:
        self.twin.compact()

    @rule(seconds=st.sampled_from([0.0005, 0.01, 1.0, 30.0]))
    def time_passes(self, seconds: float) -> None:
        self.loop.run_until_complete(asyncio.sleep(seconds))

    @invariant()
    def the_events_tell_the_copy(self) -> None:
        assert self.told == {name: one.metadata.uid for name, one in self.reflector.store.items()}

    def teardown(self) -> None:
        try:
            self.api.stalled.clear()
            self.the_stream_breaks()
            self.time_passes(30.0)
            selected = {
                one["metadata"]["name"]: one["metadata"]["resourceVersion"]
                for one in self.twin.of(ALLOCATIONS)
                if one["spec"]["nodeName"] == "ours" and one["spec"]["siblings"] != "one"
            }
            assert {name: one.metadata.resource_version for name, one in self.reflector.store.items()} == selected
        finally:
            self.loop.run_until_complete(self.end())
            self.loop.close()

    async def end(self) -> None:
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task


TestReflections = Reflections.TestCase
TestReflections.settings = lives(few=100, many=5000, steps=40)
