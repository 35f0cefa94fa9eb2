"""Whatever arrives at the agent's door: a call or an error with a CNI code, and nothing that could leave the state directory."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from cni.config import Call, parse_call
from cni.errors import CniError
from cni.protocol import LENGTH, encode_request, missing, parse_request
from tests.cases import fuzzed

VARIABLES = ["CNI_COMMAND", "CNI_CONTAINERID", "CNI_IFNAME", "CNI_NETNS", "CNI_ARGS", "CNI_PATH", "NETMGR_PLUGIN"]
TEXTS = st.one_of(
    st.sampled_from(["ADD", "DEL", "CHECK", "GC", "STATUS", "c1", "eth0", "..", "../../etc/x", "a/b", "", "é", "x" * 200]),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30),
    st.lists(st.sampled_from(["K8S_POD_UID=u", "K8S_POD_UID=../u", "K8S_POD_NAME=p", "=", ";", "IgnoreUnknown=1"])).map(";".join),
)
ENVIRONMENTS = st.dictionaries(st.sampled_from(VARIABLES), TEXTS)
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=8))
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=6,
)
MEMBERS = st.dictionaries(
    st.sampled_from(
        ["cniVersion", "name", "type", "ipam", "mtu", "isGateway", "prevResult", "cni.dev/valid-attachments", "socket"]
    ),
    st.one_of(
        VALUES, st.sampled_from(["1.0.0", "0.3.1", "9.9.9", "net", "netmgr", "../net", {"type": "x"}, [{"containerID": "c"}]])
    ),
)
STDIN = st.one_of(MEMBERS.map(lambda members: json.dumps(members).encode()), st.binary(max_size=60))


def understood(request: bytes) -> Call | CniError | None:
    """What came of it; None while more bytes must come. Anything else fails the test."""
    try:
        if missing(request):
            return None
        return parse_call(*parse_request(request))
    except CniError as error:
        return error


@fuzzed()
@given(ENVIRONMENTS, STDIN)
def test_any_environment_and_stdin_is_a_call_or_an_error_with_a_code(environment: dict[str, str], stdin: bytes) -> None:
    answer = understood(encode_request(environment, stdin))
    assert isinstance(answer, Call) or (isinstance(answer, CniError) and str(answer) and answer.code in {4, 6, 7})


@fuzzed()
@given(ENVIRONMENTS, STDIN)
def test_no_call_names_a_file_outside_the_state_directory(environment: dict[str, str], stdin: bytes) -> None:
    answer = understood(encode_request(environment, stdin))
    key = str(answer.key) if isinstance(answer, Call) else "x"
    assert "/" not in key
    assert not key.startswith(".")


@fuzzed()
@given(st.binary(max_size=80))
def test_any_bytes_are_a_request_that_is_not_whole_or_an_error(request: bytes) -> None:
    answer = understood(request)
    assert answer is None or isinstance(answer, Call | CniError)


@fuzzed()
@given(ENVIRONMENTS, STDIN, st.binary(min_size=1, max_size=20))
def test_bytes_behind_the_announced_length_belong_to_nobody(environment: dict[str, str], stdin: bytes, behind: bytes) -> None:
    whole = encode_request(environment, stdin)
    assert str(understood(whole + behind)) == str(understood(whole))


@fuzzed()
@given(ENVIRONMENTS, STDIN, st.integers(0, 100))
def test_a_request_is_whole_at_its_last_byte_and_not_before(environment: dict[str, str], stdin: bytes, cut: int) -> None:
    whole = encode_request(environment, stdin)
    assert len(whole) >= LENGTH
    assert not missing(whole)
    assert missing(whole[: max(0, len(whole) - 1 - cut)])
