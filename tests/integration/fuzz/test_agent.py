"""The agent's process at its door: whatever bytes come, it answers or hangs up, its state stays, and it serves the next call."""

from __future__ import annotations

import json
import socket
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from cni.protocol import encode_request
from tests.cases import fuzzed
from tests.integration.agent.node import Node, run
from tests.unit.fuzz.test_cni import ENVIRONMENTS, STDIN

SECONDS = 10.0
WHOLE = st.builds(encode_request, ENVIRONMENTS, STDIN)
FRAMES = st.one_of(
    WHOLE,
    st.binary(max_size=60),
    st.tuples(WHOLE, st.one_of(st.integers(0, 400), st.just(0xFFFFFFFF))).map(
        lambda one: one[1].to_bytes(4, "little") + one[0][4:]
    ),
    st.tuples(WHOLE, st.integers(0, 50)).map(lambda one: one[0][: max(0, len(one[0]) - one[1])]),
)


def said(node: Node, frame: bytes, *, goes_on: bool) -> bytes:
    """The agent's answer; nothing where the request was not whole and the caller said that no more comes."""
    with socket.socket(socket.AF_UNIX) as door:
        door.settimeout(SECONDS)
        door.connect(str(node.socket))
        door.sendall(frame)
        if not goes_on:
            return b""
        door.shutdown(socket.SHUT_WR)
        answer = b""
        while part := door.recv(65536):
            answer += part
        return answer


def files_of(folder: Path) -> dict[str, bytes]:
    """Every record."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_any_bytes_on_the_socket_are_answered_or_dropped_and_change_nothing(node: Node) -> None:
    node.bind("10.60.9.1", "pod-fuzz")
    assert node.cni("ADD", "fuzz", "pod-fuzz")[0] == 0
    before = files_of(node.state)

    @fuzzed()
    @given(FRAMES, st.booleans())
    def property_(frame: bytes, goes_on: bool) -> None:
        answer = said(node, frame, goes_on=goes_on)
        told = json.loads(answer[1:]) if len(answer) > 1 else {}
        assert not answer or answer[0] == 0 or (told["code"] > 0 and told["msg"])

    property_()
    assert node.agent is not None
    assert node.agent.poll() is None
    assert files_of(node.state) == before
    assert node.allocation("10.60.9.1").status.phase == ""
    assert node.cni("CHECK", "fuzz", "pod-fuzz") == (0, "")


def test_any_stdin_of_the_plugin_ends_with_a_code_and_a_message(node: Node) -> None:
    node.bind("10.60.9.2", "pod-stdin")
    assert node.cni("ADD", "stdin", "pod-stdin")[0] == 0
    before = files_of(node.state)

    @fuzzed()
    @given(ENVIRONMENTS, STDIN)
    def property_(environment: dict[str, str], stdin: bytes) -> None:
        plain = {key: value for key, value in environment.items() if value.isprintable()} | {"NETMGR_TEST": "1"}
        if plain.get("CNI_COMMAND") in {"ADD", "STATUS"}:  # without an agent at that path they wait for one
            stdin = b'{"socket":"' + str(node.socket).encode() + b'",' + (stdin[1:] if stdin[:1] == b"{" else stdin)
        done = run(str(node.build / "netmgr-ipam"), env=plain, input=stdin.decode(errors="replace"), timeout=30)
        told = json.loads(done.stdout) if done.stdout else {}
        assert done.returncode == 0 or (told["code"] > 0 and told["msg"])

    property_()
    assert files_of(node.state) == before
    assert node.cni("CHECK", "stdin", "pod-stdin") == (0, "")
