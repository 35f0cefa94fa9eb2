"""Reports that are on their way while their allocation is attached again, against the real API server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from cni.attachments import AttachmentStore, boot_id
from netmgr.agent.allocations import sandbox_of
from netmgr.agent.reports import Reports
from netmgr.api.allocation import IPAllocation
from netmgr.kube.client import Api
from netmgr.kube.config import load
from tests.integration.agent.node import Node

EARLIER = "another-boot"


def run(node: Node, folder: Path, act: Callable[[Reports], Awaitable[None]]) -> None:
    """An act of an agent's reports; those that are left are finished."""

    async def once() -> None:
        store = AttachmentStore(folder / "reports", boot_id())
        store.open()
        async with Api(load(node.server.kubeconfig), user_agent="test") as api:
            reports = Reports(api, store, {})
            await act(reports)
            await reports.finish(10)

    asyncio.run(once())


@pytest.fixture
def earlier(node: Node, request: pytest.FixtureRequest) -> IPAllocation:
    """An allocation of a Pod that lived through a reboot of its node."""
    return node.bind(f"10.60.2.{1 + len(request.node.name) % 200}", "pod-a", boot=EARLIER)


def test_a_report_under_way_is_taken_back_by_the_attachment(node: Node, tmp_path: Path, earlier: IPAllocation) -> None:
    async def report_and_attach(reports: Reports) -> None:
        reports.nothing_attached(earlier)
        await reports.settle(sandbox_of(earlier), [earlier.metadata.name])
        assert (reports.pending, reports.may_be_reported(earlier.metadata.name)) == (0, True)
        await reports.take_back(earlier)

    run(node, tmp_path, report_and_attach)

    assert node.phase(earlier.spec.address) == ""
