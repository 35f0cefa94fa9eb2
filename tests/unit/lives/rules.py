"""What happens to any cluster: processes die, writes get lost, watches stand still, clocks jump. For state machines to inherit."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from netmgr.api import allocation, spider
from netmgr.kube import paths
from tests.twins import Fault
from tests.unit.lives.cluster import Cluster

WATCHED = [paths.PODS, paths.LEASES, paths.DEPLOYMENTS, allocation.ALLOCATIONS, spider.POOLS, spider.SUBNETS, spider.RESERVED]
A_MOMENT = 0.02
"""What passes after every step: enough for some requests, not for all that come of it."""
INDEX = st.integers(0, 5)
MOMENT = st.sampled_from([0.0005, 0.002, 0.01, 0.1, 1.0, 5.0, 50.0])


class Misfortunes(RuleBasedStateMachine):
    """A cluster, and everything that may go wrong with its processes."""

    nodes: tuple[str, ...] = ()

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(prefix="nm-", dir="/dev/shm")
        self.cluster = Cluster(Path(self.folder.name), self.nodes)

    @rule(seconds=MOMENT)
    def time_passes(self, seconds: float) -> None:
        self.cluster.pass_time(seconds)

    @rule(index=INDEX, faults=st.lists(st.sampled_from(list(Fault)), min_size=1, max_size=3))
    def writes_fail(self, index: int, faults: list[Fault]) -> None:
        self.cluster.break_writes(index, faults)

    @rule(index=INDEX, collection=st.sampled_from(WATCHED))
    def a_cache_grows_stale(self, index: int, collection: str) -> None:
        self.cluster.stall(index, collection)

    @rule(index=INDEX)
    def streams_break(self, index: int) -> None:
        self.cluster.cut_streams(index)

    @rule()
    def the_history_is_compacted(self) -> None:
        self.cluster.twin.compact()

    @rule(index=INDEX)
    def a_controller_is_killed(self, index: int) -> None:
        self.cluster.kill_leader(index)

    @rule()
    def a_controller_believes_it_leads(self) -> None:
        if len(self.cluster.leaders) < 2:
            self.cluster.start_leader()

    @rule(seconds=st.sampled_from([-3600.0, -5.0, 5.0, 3600.0]))
    def the_servers_clock_jumps(self, seconds: float) -> None:
        self.cluster.twin.offset += seconds

    @rule(name=st.sampled_from("xy"), last=st.integers(8, 40), length=st.integers(0, 5))
    def addresses_are_reserved(self, name: str, last: int, length: int) -> None:
        if (spider.RESERVED, "", name) not in self.cluster.twin.objects:
            self.cluster.reserve(name, f"10.250.0.{last - length}-10.250.0.{last}")

    @rule(name=st.sampled_from("xy"))
    def a_reservation_ends(self, name: str) -> None:
        self.cluster.delete(paths.named(spider.RESERVED, name))

    @invariant()
    def nothing_is_seen_that_must_never_be(self) -> None:
        self.cluster.pass_time(A_MOMENT)
        self.cluster.invariants.look()

    def teardown(self) -> None:
        """Whatever happened: once all is healed, the cluster comes to rest as it should be."""
        try:
            self.cluster.settle()
            self.at_rest()
            late = self.cluster.writes_of_a_new_leader()
            assert late == [], late
        finally:
            self.cluster.close()
            self.folder.cleanup()

    def at_rest(self) -> None:
        """What must hold in the end: free + held is the whole pool, and what is reported is true."""
        world = self.cluster.leaders[0].controller.world
        for name, pool in world.pools.store.items():
            ledger = world.ledger(name)
            held = [one for one in self.cluster.allocations() if one["spec"]["pool"] == name]
            assert (pool.status.allocated_ip_count or 0) == len(held)
            if ledger is not None:
                inside = sum(1 for value in ledger.held if value in ledger.addresses)
                assert ledger.free + inside == ledger.addresses.size
                assert len(ledger.held) == len(held)
        for node in self.cluster.nodes.values():
            assert node.running is not None
            records = {key.container_id for key in node.running._store.attached}
            assert records == set(node.sandboxes), f"records of {node.name}"
