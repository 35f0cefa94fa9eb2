"""What annotations say about several interfaces and routes is judged before the Pod is stored."""

from __future__ import annotations

import pytest

from ipam.networks import NETWORKS
from netmgr.webhook.workloads import Known, on_annotations

P = "ipam.spidernet.io/"
KNOWN = Known(subnet=lambda _: "10.0.0.0/24", pool=lambda _: "10.0.0.0/24")
POOL = {P + "ippool": '{"ipv4":["a"]}'}


@pytest.mark.parametrize(
    ("annotations", "words"),
    [
        (POOL | {P + "routes": '[{"dst":"0.0.0.0/0","gw":"10.0.0.1"}]'}, "default route"),
        (POOL | {P + "routes": "nonsense"}, "is not JSON"),
        (POOL | {P + "default-route-nic": "net1"}, "no interface of the Pod"),
        (POOL | {NETWORKS: "a/b/c"}, "no network"),
        ({NETWORKS: "lan", P + "ippools": '[{"interface":"net5","ipv4":["a"]}]'}, "net5, which the Pod does not have"),
    ],
)
def test_a_mistake_about_interfaces_or_routes_is_refused(annotations: dict[str, str], words: str) -> None:
    assert words in " ".join(on_annotations("Pod a/b", annotations, {}, KNOWN).refusals)


def test_the_single_subnet_leaves_the_other_interfaces_to_the_next_source() -> None:
    notes = POOL | {NETWORKS: "lan", P + "subnet": '{"ipv4":["s"]}', P + "default-route-nic": "net1"}
    answer = on_annotations("Pod a/b", notes, {}, KNOWN)
    assert (answer.refusals, answer.warnings) == ((), ())
