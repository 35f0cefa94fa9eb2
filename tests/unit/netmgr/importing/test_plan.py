"""Every address that is in use becomes one allocation; whatever does not fit is said, with a remedy."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netmgr.importing.plan import plan
from tests.unit.netmgr.importing.world import (
    conflicts,
    endpoint,
    entry,
    found,
    made,
    pod,
    pool,
    reserved,
    rules,
    specs,
    workload,
)

A = "10.6.0.11"


def test_a_running_pod_keeps_its_address_with_everything_that_add_needs() -> None:
    route = {"dst": "10.9.0.0/16", "gw": "10.6.0.2"}
    decided = plan(
        found(
            pool(used={A: ("default/web-1", "u1")}, gateway="10.6.0.1"),
            endpoint("web-1", "u1", entry(A, ipv4Gateway="10.6.0.254", routes=[route]), owner=("Pod", "web-1")),
            pod("web-1", "u1", A),
        )
    )
    assert decided.findings == ()
    assert specs(decided)[A] == {
        "address": A,
        "prefixLength": 24,
        "pool": "p",
        "nodeName": "n1",
        "interface": "eth0",
        "siblings": 1,
        "claimant": {"apiVersion": "v1", "kind": "Pod", "namespace": "default", "name": "web-1", "uid": "u1"},
        "pod": {"namespace": "default", "name": "web-1", "uid": "u1"},
        "reason": "imported from Spiderpool: Pod, SpiderEndpoint, SpiderIPPool",
        "bootID": "boot-1",
        "gateway": "10.6.0.254",
        "routes": [route],
    }
    assert decided.allocations[0]["metadata"] == {"name": A, "labels": {"netmgr.io/imported-from": "spiderpool"}}


def test_gateway_and_routes_are_the_pools_where_no_endpoint_says_otherwise() -> None:
    routes = [{"dst": "10.9.0.0/16", "gw": "10.6.0.2"}]
    decided = plan(found(pool(used={A: ("default/a", "u1")}, gateway="10.6.0.1", routes=routes), pod("a", "u1", A)))
    assert (specs(decided)[A]["gateway"], specs(decided)[A]["routes"]) == ("10.6.0.1", routes)


def test_an_interface_without_a_default_route_stays_without() -> None:
    one = entry(A, ipv4Gateway="10.6.0.1", cleanGateway=True)
    decided = plan(found(pool(used={A: ("default/a", "u1")}, gateway="10.6.0.1"), endpoint("a", "u1", one), pod("a", "u1", A)))
    assert (specs(decided)[A]["gateway"], specs(decided)[A]["cleanGateway"]) == ("10.6.0.1", True)


def test_both_families_of_an_interface_are_siblings() -> None:
    six = pool("p6", ("fd00::10-fd00::20",), {"fd00::11": ("default/a", "u1")}, subnet="fd00::/64")
    decided = plan(
        found(pool(used={A: ("default/a", "u1")}), six, endpoint("a", "u1", entry(A, "fd00::11")), pod("a", "u1", A, "fd00::11"))
    )
    assert {address: spec["siblings"] for address, spec in specs(decided).items()} == {A: 2, "fd00::11": 2}
    assert [body["metadata"]["name"] for body in decided.allocations] == [A, "fd00-0000-0000-0000-0000-0000-0000-0011"]
    assert specs(decided)["fd00::11"]["prefixLength"] == 64


def test_a_second_interface_is_taken_over_under_its_own_name() -> None:
    second = "10.6.0.12"
    decided = plan(
        found(
            pool(used={A: ("default/a", "u1"), second: ("default/a", "u1")}),
            endpoint("a", "u1", entry(A), entry(second, interface="net1")),
            pod("a", "u1", A),
        )
    )
    assert decided.findings == ()
    assert {address: (spec["interface"], spec["siblings"]) for address, spec in specs(decided).items()} == {
        A: ("eth0", 1),
        second: ("net1", 1),
    }


def test_one_address_on_two_interfaces_is_one_allocation_and_a_finding() -> None:
    decided = plan(
        found(pool(used={A: ("default/a", "u1")}), endpoint("a", "u1", entry(A), entry(A, interface="net1")), pod("a", "u1", A))
    )
    assert (rules(decided), specs(decided)[A]["interface"]) == (["TwoInterfaces"], "eth0")


def test_the_claimant_is_the_top_of_the_verified_owners_and_the_ordinal() -> None:
    decided = plan(
        found(
            pool(used={A: ("default/db-3", "u1")}),
            pod("db-3", "u1", A, owner=("StatefulSet", "db")),
            stateful_sets=(workload("db", 4),),
        )
    )
    assert specs(decided)[A]["claimant"] == {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "namespace": "default",
        "name": "db",
        "uid": "uid-db",
        "ordinal": 3,
    }


def test_an_ordinal_whose_pod_is_away_keeps_its_address() -> None:
    decided = plan(
        found(
            pool(used={A: ("default/db-0", "u1")}),
            endpoint("db-0", "u1", entry(A), owner=("StatefulSet", "db")),
            stateful_sets=(workload("db"),),
        )
    )
    assert (rules(decided), conflicts(decided)) == (["OrdinalWithoutPod"], [])
    assert specs(decided)[A]["claimant"]["ordinal"] == 0
    assert (specs(decided)[A]["pod"]["uid"], specs(decided)[A]["nodeName"]) == ("u1", "n1")


def test_an_ordinal_that_is_scaled_away_is_a_record_without_pod() -> None:
    decided = plan(
        found(
            pool(used={A: ("default/db-1", "u1")}),
            endpoint("db-1", "u1", entry(A), owner=("StatefulSet", "db")),
            stateful_sets=(workload("db"),),
        )
    )
    assert rules(decided) == ["RecordWithoutPod"]
    assert "kept until the agent of node n1 says" in decided.findings[0].message


def test_the_ordinals_new_pod_that_has_no_address_yet_finds_the_old_ones_record() -> None:
    decided = plan(
        found(
            pool(used={A: ("default/db-0", "old")}),
            endpoint("db-0", "old", entry(A), owner=("StatefulSet", "db")),
            pod("db-0", "new", owner=("StatefulSet", "db"), phase="Pending"),
            stateful_sets=(workload("db"),),
        )
    )
    assert specs(decided)[A]["pod"]["uid"] == "old"
    assert specs(decided)[A]["claimant"]["uid"] == "uid-db"


def test_a_virtual_machine_is_found_by_the_uid_of_its_pod() -> None:
    decided = plan(
        found(
            pool(used={A: ("default/vm", "u1")}),
            endpoint("vm", "u1", entry(A), owner=("VirtualMachineInstance", "vm")),
            pod("virt-launcher-vm-abc", "u1", A),
        )
    )
    assert decided.findings == ()
    assert specs(decided)[A]["pod"] == {"namespace": "default", "name": "virt-launcher-vm-abc", "uid": "u1"}


@pytest.mark.parametrize(
    ("objects", "rule", "harmless", "taken"),
    [
        ([pool(used={A: ("default/gone", "u1")})], "RecordWithoutPod", False, ""),
        ([pool(used={A: ("default/gone", "u1")}), endpoint("gone", "u1", entry(A))], "RecordWithoutPod", False, "u1"),
        ([pool(used={A: ("default/a", "old")}), pod("a", "new", A)], "OtherPod", True, "new"),
        ([pool(), pod("a", "u1", A)], "NoRecord", False, "u1"),
        (
            [pool(used={A: ("default/a", "u1")}), endpoint("a", "u1", entry(A)), pod("a", "u1", "10.7.0.1")],
            "OtherAddress",
            False,
            "",
        ),
        ([pool(used={A: ("default/a", "u1")}), pod("a", "u1", "10.7.0.1")], "InterfaceUnknown", False, "u1"),
        ([pool(ips=("10.6.0.90",), used={A: ("default/a", "u1")}), pod("a", "u1", A)], "OutsidePool", False, "u1"),
        ([endpoint("a", "u1", entry(A)), pod("a", "u1", A)], "NoPool", False, "u1"),
        ([pool(used={A: ("default/a", "u1")}), pod("a", "u1", A), reserved(A)], "Reserved", False, "u1"),
        (
            [pool(used={A: ("default/a", "u1")}), pool("q", ("10.6.0.30",), {A: ("default/b", "u2")}), pod("a", "u1", A)],
            "TwoRecords",
            False,
            "u1",
        ),
        ([pool(used={A: ("default/a", "u1")}), pod("a", "u1", A), pod("b", "u2", A)], "TwoRecords", False, "u1"),
        ([pool(used={"not-an-address": ("default/a", "u1")})], "Unreadable", False, ""),
    ],
)
def test_what_does_not_fit_is_said_with_a_remedy(objects: list[object], rule: str, harmless: bool, taken: str) -> None:
    decided = plan(found(*objects))
    (one,) = decided.findings
    assert (one.rule, one.harmless) == (rule, harmless)
    assert one.remedy
    assert (specs(decided)[A]["pod"]["uid"] if specs(decided) else "") == taken


def test_of_two_pods_that_run_with_one_address_the_other_is_to_be_restarted() -> None:
    decided = plan(found(pool(used={A: ("default/b", "u2")}), pod("a", "u1", A), pod("b", "u2", A)))
    assert [one.remedy for one in decided.findings if one.rule == "TwoRecords"] == ["restart Pod default/b: both run with it"]


def test_a_finished_pods_address_stays_its_own_until_the_agent_speaks() -> None:
    decided = plan(
        found(
            pool(used={A: ("default/job", "u1")}),
            endpoint("job", "u1", entry(A)),
            pod("job", "u1", phase="Succeeded"),
        )
    )
    assert (conflicts(decided), specs(decided)[A]["pod"]["uid"]) == ([], "u1")


def test_a_pod_on_the_hosts_network_is_nobodys_business() -> None:
    decided = plan(found(pool(ips=("10.6.0.10-10.6.0.20",)), pod("host", "u1", A, hostNetwork=True)))
    assert (decided.allocations, decided.findings) == ((), ())


def test_records_that_are_no_json_leave_the_endpoints_to_speak() -> None:
    broken = pool()
    status = type(broken.status)(allocated_ips='{"10.6.0.11": ["?"]}')
    broken = type(broken)(metadata=broken.metadata, spec=broken.spec, status=status)
    decided = plan(found(broken, endpoint("a", "u1", entry(A)), pod("a", "u1", A)))
    assert rules(decided) == ["Unreadable"]
    assert set(specs(decided)) == {A}


def test_a_second_run_finds_nothing_to_do() -> None:
    objects = [pool(used={A: ("default/a", "u1")}), endpoint("a", "u1", entry(A)), pod("a", "u1", A)]
    first = plan(found(*objects))
    second = plan(found(*objects, *made(first)))
    assert (second.allocations, second.findings, second.known) == ((), (), 1)


def test_an_address_that_netmgr_has_given_to_another_pod_stays_that_pods() -> None:
    first = plan(found(pool(used={A: ("default/a", "u1")}), pod("a", "u1", A)))
    second = plan(found(pool(used={A: ("default/b", "u2")}), pod("b", "u2", A), *made(first)))
    assert (second.allocations, rules(second)) == ((), ["AlreadyHeld"])


NAMES = st.sampled_from(["a", "b", "db-0", "db-1"])
UIDS = st.sampled_from(["u1", "u2", "u3"])
ADDRESSES = st.sampled_from([f"10.6.0.{number}" for number in range(9, 14)])


@given(
    recorded=st.dictionaries(ADDRESSES, st.tuples(NAMES, UIDS), max_size=5),
    said=st.lists(st.tuples(NAMES, UIDS, ADDRESSES, st.sampled_from(["eth0", "net1"])), max_size=4),
    running=st.dictionaries(NAMES, st.tuples(UIDS, st.lists(ADDRESSES, max_size=1)), max_size=4),
    reserves=st.lists(ADDRESSES, max_size=2),
)
def test_whatever_is_recorded_no_running_pod_in_a_pool_loses_its_address_and_none_is_given_twice(
    recorded: dict[str, tuple[str, str]],
    said: list[tuple[str, str, str, str]],
    running: dict[str, tuple[str, list[str]]],
    reserves: list[str],
) -> None:
    pods = {uid: pod(name, uid, *addresses) for name, (uid, addresses) in running.items()}
    objects = [
        pool(used={address: (f"default/{name}", uid) for address, (name, uid) in recorded.items()}),
        *(endpoint(name, uid, entry(address, interface=nic), owner=("StatefulSet", "db")) for name, uid, address, nic in said),
        *pods.values(),
        *([reserved(*reserves)] if reserves else []),
    ]
    cluster = found(*objects, stateful_sets=(workload("db", 2),))
    decided = plan(cluster)
    bodies = [body["spec"] for body in decided.allocations]
    assert len({spec["address"] for spec in bodies}) == len(bodies)
    holders = {spec["address"]: spec["pod"]["uid"] for spec in bodies}
    for address in {one for each in pods.values() for one in each.addresses if one != "10.6.0.9"}:
        assert holders[address] in {uid for uid, each in pods.items() if address in each.addresses}
    again = plan(found(*objects, *made(decided), stateful_sets=(workload("db", 2),)))
    assert again.allocations == ()
    assert json.dumps(bodies)


def test_a_machine_whose_pod_is_away_keeps_its_address_if_it_exists() -> None:
    objects = [pool(used={A: ("default/vm", "u1")}), endpoint("vm", "u1", entry(A), owner=("VirtualMachineInstance", "vm"))]
    stopped = plan(found(*objects, machines=(workload("vm"),)))
    deleted = plan(found(*objects))
    assert (rules(stopped), rules(deleted)) == (["OrdinalWithoutPod"], ["RecordWithoutPod"])
    assert specs(stopped)[A]["claimant"] == {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachine",
        "namespace": "default",
        "name": "vm",
        "uid": "uid-vm",
        "ordinal": 0,
    }
