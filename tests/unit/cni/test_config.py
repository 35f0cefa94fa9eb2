from __future__ import annotations

import msgspec
import pytest

from cni.config import parse_call
from cni.errors import BadConfig, BadRequest, CniError

ENVIRONMENT = {
    "CNI_COMMAND": "ADD",
    "CNI_CONTAINERID": "abc",
    "CNI_IFNAME": "eth0",
    "CNI_ARGS": "IgnoreUnknown=1;IgnoreUnknown=1;K8S_POD_UID=u-1",
}
CONFIG = {"cniVersion": "1.0.0", "name": "net"}


def test_a_call_is_read_from_environment_and_stdin() -> None:
    call = parse_call(ENVIRONMENT | {"NETMGR_PLUGIN": "netmgr"}, msgspec.json.encode(CONFIG))

    assert (str(call.key), call.pod_uid, call.is_main) == ("net.abc.eth0", "u-1", True)


@pytest.mark.parametrize(
    ("change", "config", "refused"),
    [
        ({"CNI_CONTAINERID": "../etc"}, {}, BadRequest),
        ({"CNI_CONTAINERID": ""}, {}, BadRequest),
        ({"CNI_CONTAINERID": "a" * 112}, {}, BadRequest),
        ({"CNI_IFNAME": ".."}, {}, BadRequest),
        ({"CNI_IFNAME": "a/b"}, {}, BadRequest),
        ({"CNI_ARGS": "K8S_POD_UID=a/b"}, {}, BadRequest),
        ({}, {"name": "a/b"}, BadRequest),
        ({}, {"cniVersion": "9.9.9"}, BadConfig),
        ({}, {"ipam": 3}, BadConfig),
    ],
)
def test_what_could_leave_the_state_directory_is_refused(
    change: dict[str, str], config: dict[str, object], refused: type[CniError]
) -> None:
    with pytest.raises(refused):
        parse_call(ENVIRONMENT | change, msgspec.json.encode(CONFIG | config))
