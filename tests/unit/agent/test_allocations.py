from __future__ import annotations

import pytest

from netmgr.agent.allocations import NodeAllocations, is_given_up, is_of_another_boot
from netmgr.api.allocation import AllocationSpec, AllocationStatus, Claimant, HolderPod, IPAllocation
from netmgr.api.meta import Meta
from netmgr.kube.store import EventKind

NO_STATUS = AllocationStatus()


def allocation(address: str, *, siblings: int = 1, status: AllocationStatus = NO_STATUS) -> IPAllocation:
    spec = AllocationSpec(
        address=address,
        prefix_length=24,
        pool="p",
        node_name="n",
        interface="eth0",
        siblings=siblings,
        claimant=Claimant(),
        pod=HolderPod(uid="u"),
        boot_id="boot",
    )
    return IPAllocation(metadata=Meta(name=address, uid=f"uid-{address}"), spec=spec, status=status)


def test_one_of_two_siblings_is_not_enough() -> None:
    known = NodeAllocations()
    known.changed(EventKind.ADDED, allocation("10.0.0.1", siblings=2), None)

    assert known.ready(("u", "eth0")) is None


def test_siblings_are_answered_ipv4_first() -> None:
    known = NodeAllocations()
    known.changed(EventKind.ADDED, allocation("fd00::1", siblings=2), None)
    known.changed(EventKind.ADDED, allocation("10.0.0.1", siblings=2), None)

    assert [one.spec.address for one in known.ready(("u", "eth0")) or ()] == ["10.0.0.1", "fd00::1"]


@pytest.mark.parametrize(
    ("status", "given_up"),
    [
        (AllocationStatus(), False),
        (AllocationStatus(phase="Releasing", pod_uid="u"), True),
        (AllocationStatus(phase="Releasing", pod_uid="other"), False),
        (AllocationStatus(phase="Detached", pod_uid="u", container_id="c", boot_id="boot"), False),
        (AllocationStatus(phase="Detached", pod_uid="u", boot_id="later-boot"), False),
        (AllocationStatus(phase="Detached", pod_uid="u", boot_id="boot"), True),
    ],
)
def test_only_a_confirmed_release_is_final(status: AllocationStatus, given_up: bool) -> None:
    assert is_given_up(allocation("10.0.0.1", status=status)) is given_up


@pytest.mark.parametrize(
    ("status", "boot", "unknown"),
    [
        (AllocationStatus(), "boot", False),
        (AllocationStatus(), "later-boot", True),
        (AllocationStatus(pod_uid="u", boot_id="later-boot"), "later-boot", False),
        (AllocationStatus(pod_uid="other", boot_id="later-boot"), "later-boot", True),
    ],
)
def test_an_attachment_in_a_boot_that_the_api_server_does_not_know_of_is_written_down(
    status: AllocationStatus, boot: str, unknown: bool
) -> None:
    assert is_of_another_boot(allocation("10.0.0.1", status=status), boot) is unknown
