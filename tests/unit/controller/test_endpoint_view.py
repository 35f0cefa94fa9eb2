"""A Pod's allocations as one SpiderEndpoint."""

from __future__ import annotations

from typing import Any

import msgspec

from netmgr.api.allocation import IPAllocation
from netmgr.api.meta import Json
from netmgr.controller.endpoint_view import body_of, current_of, endpoint_key, status_of

POD: Json = {"kind": "Pod", "namespace": "default", "name": "web-1"}
MACHINE: Json = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "namespace": "default", "name": "vm", "ordinal": 0}


def held(
    address: str, *, uid: str = "u1", created: str = "1", interface: str = "eth0", claimant: Json = POD, **spec: Any
) -> IPAllocation:
    length = 64 if ":" in address else 24
    body = {
        "metadata": {"name": address, "creationTimestamp": created},
        "spec": {
            "address": address,
            "prefixLength": length,
            "pool": f"pool-{length}",
            "nodeName": "n1",
            "interface": interface,
            "siblings": 1,
            "claimant": claimant,
            "pod": {"namespace": "default", "name": "web-1", "uid": uid},
            **spec,
        },
    }
    return msgspec.convert(body, IPAllocation)


def test_interfaces_come_in_order_with_both_families_and_all_their_routes() -> None:
    route = {"dst": "10.9.0.0/16", "gw": "10.0.0.2"}
    status = status_of([held("10.0.1.1", interface="net1"), held("fd00::1", gateway="fd00::fe"), held("10.0.0.1", routes=[route])])
    assert msgspec.to_builtins(status)["current"] == {
        "uid": "u1",
        "node": "n1",
        "ips": [
            {
                "interface": "eth0",
                "ipv4": "10.0.0.1/24",
                "ipv4Pool": "pool-24",
                "ipv6": "fd00::1/64",
                "ipv6Pool": "pool-64",
                "ipv6Gateway": "fd00::fe",
                "routes": [route],
            },
            {"interface": "net1", "ipv4": "10.0.1.1/24", "ipv4Pool": "pool-24"},
        ],
    }


def test_of_two_for_one_interface_and_family_the_older_shows() -> None:
    status = status_of([held("10.0.0.2", created="2"), held("10.0.0.9", created="1")])
    assert [one.ipv4 for one in status.current.ips] == ["10.0.0.9/24"]


def test_of_two_pods_of_one_name_the_newer_shows() -> None:
    found = current_of([held("10.0.0.1", uid="old", created="1"), held("10.0.0.2", uid="new", created="2")])
    assert [one.spec.pod.uid for one in found] == ["new"]


def test_a_machines_has_the_machines_name_and_outlives_the_pod() -> None:
    one = held("10.0.0.1", claimant=MACHINE)
    body = body_of(endpoint_key(one.spec), [one])
    assert (body["metadata"]["name"], body["metadata"]["ownerReferences"]) == ("vm", [])
    assert (body["status"]["ownerControllerType"], body["status"]["ownerControllerName"]) == ("VirtualMachine", "vm")


def test_an_interface_that_keeps_its_gateway_clean_says_so() -> None:
    status = status_of([held("10.0.0.1", cleanGateway=True, gateway="10.0.0.254")])
    assert (status.current.ips[0].clean_gateway, status.current.ips[0].ipv4_gateway) == (True, "10.0.0.254")
