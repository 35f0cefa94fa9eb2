"""Rendered configurations are golden files; the integration tests feed the same files to the real bgpd."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bgp.errors import PolicyError
from bgp.frr.delta import delta, parse, with_lists_of
from bgp.frr.render import render
from bgp.policy import Neighbor, NodePolicy, Timers
from ipam.prefix import AddressFamily, RangeSet, parse_address

GOLDEN = Path(__file__).parent / "golden"
V4, V6 = AddressFamily.IPV4, AddressFamily.IPV6


def neighbor(address: str = "172.30.0.1", *families: AddressFamily, import_pools: bool = False) -> Neighbor:
    return Neighbor(
        name="tor",
        address=parse_address(address),
        asn=23000,
        local_asn=64512,
        families=families or (V4,),
        import_pools=import_pools,
    )


def policy(*neighbors: Neighbor, v4: tuple[str, ...] = (), v6: tuple[str, ...] = ()) -> NodePolicy:
    pools = (RangeSet.parse(V4, v4), RangeSet.parse(V6, v6))
    return NodePolicy(router_id=parse_address("172.30.0.101"), local_asn=64512, neighbors=neighbors, pools=pools)


CASES = {
    "no-neighbor": policy(),
    "one-neighbor-one-pool": policy(neighbor(), v4=("10.244.100.0-10.244.100.4",)),
    "both-families": policy(
        neighbor("172.30.0.1", V4),
        neighbor("fd00:30::1", V6, import_pools=True),
        v4=("10.244.100.0",),
        v6=("fd00:44::1-fd00:44::6",),
    ),
    "a-neighbor-that-gets-one-pool-only": policy(
        neighbor("172.30.0.1"),
        replace(neighbor("172.30.0.2"), only=(RangeSet.parse(V4, ("10.244.100.0-10.244.100.4",)),)),
        replace(neighbor("172.30.0.3"), only=()),
        replace(neighbor("fd00:30::1", V6), only=(RangeSet.parse(V6, ("fd00:44::1",)),)),
        v4=("10.244.100.0-10.244.100.9",),
        v6=("fd00:44::1-fd00:44::6",),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_configuration_is_the_golden_one(name: str) -> None:
    assert render(CASES[name]) == (GOLDEN / f"{name}.conf").read_text()


@pytest.mark.parametrize("asn", [0, -1, 23456, 65535, 4294967295])
def test_a_reserved_as_number_is_refused(asn: int) -> None:
    with pytest.raises(PolicyError, match="BGPNeighbor tor: asn"):
        Neighbor(name="tor", address=parse_address("172.30.0.1"), asn=asn, local_asn=64512, families=(V4,))


def test_a_hold_time_of_two_seconds_is_refused() -> None:
    with pytest.raises(PolicyError, match="RFC 4271"):
        Timers(keepalive=1, hold=2)


def apply(running: str, lines: list[str]) -> dict[tuple[str, ...], set[str]]:
    """What a daemon has after these lines: a model of vtysh for configurations of ours."""
    model = {context: set(statements) for context, statements in parse(running).items()}
    context: tuple[str, ...] = ()
    for line in lines:
        opened = line.removeprefix("no ")
        if line == "exit":
            context = context[:-1]
        elif line.startswith(("router bgp ", "route-map ", "address-family ")):
            context = (*context, line)
            model.setdefault(context, set())
        elif opened != line and (*context, opened) in model:
            for gone in [c for c in model if c[: len(context) + 1] == (*context, opened)]:
                del model[gone]
        elif opened != line and opened in model[context]:
            model[context].discard(opened)
        elif f"no {line}" in model[context]:
            model[context].discard(f"no {line}")
        else:
            model[context].add(line)
    return model


POLICIES = st.builds(
    lambda hosts, v4: policy(*(neighbor(f"172.30.0.{h}") for h in sorted(hosts)), v4=tuple(f"10.0.0.{n}" for n in v4)),
    st.frozensets(st.integers(1, 4), max_size=3),
    st.frozensets(st.integers(0, 40), max_size=12),
)


@given(POLICIES, POLICIES)
def test_the_delta_leads_from_one_configuration_to_the_other(before: NodePolicy, after: NodePolicy) -> None:
    running, desired = render(before), render(after)
    wanted = {context: set(statements) for context, statements in parse(desired).items()}
    assert apply(running, delta(running, desired)) == wanted


def test_equal_configurations_have_no_delta() -> None:
    text = render(CASES["both-families"])
    assert delta(text, text) == []


def test_a_pools_change_touches_nothing_but_prefix_lists() -> None:
    before = render(policy(neighbor(), v4=("10.0.0.0-10.0.0.4",)))
    after = render(policy(neighbor(), v4=("10.0.0.0-10.0.0.5",)))
    lines = delta(before, after)
    assert lines
    assert all("prefix-list NETMGR-POOLS" in line for line in lines)


def test_lists_that_a_call_left_half_way_are_put_right() -> None:
    known = "ip prefix-list NETMGR-POOLS deny any\nrouter bgp 64512\n bgp router-id 172.30.0.101\nexit\n"
    running = (
        "frr version 8.4.4\n!\nrouter bgp 64512\n bgp router-id 172.30.0.101\nexit\n!\n"
        "ip prefix-list NETMGR-POOLS seq 5 deny any\n"
        "ip prefix-list NETMGR-POOLS seq 10 permit 10.0.0.0/30 ge 32 le 32\n"
    )
    desired = known.replace("deny any", "permit 10.0.0.4/30 ge 32 le 32")
    assert delta(with_lists_of(known, running), desired) == [
        "ip prefix-list NETMGR-POOLS permit 10.0.0.4/30 ge 32 le 32",
        "no ip prefix-list NETMGR-POOLS permit 10.0.0.0/30 ge 32 le 32",
        "no ip prefix-list NETMGR-POOLS deny any",
    ]
