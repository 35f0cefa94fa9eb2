"""The strict reader: what the labs use is understood; anything else is an error with its line and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from topology.clab import Topology, parse_topology, read
from topology.errors import TopologyError

LABS = Path(__file__).parents[3] / "topology" / "labs"
GOOD = """name: two
topology:
  defaults:
    kind: linux
  nodes:
    a:
      cmd: sleep infinity
    b: {}
  links:
  - endpoints: ["a:eth1", "b:eth1"]
"""


def parsed(text: str) -> Topology:
    return parse_topology(text, Path("two.clab.yml"), Path("clab-two"), {})


def test_a_small_topology_is_understood() -> None:
    topology = parsed(GOOD)
    assert [node.name for node in topology.nodes] == ["a", "b"]
    assert len(topology.links) == 1


@pytest.mark.parametrize("lab", sorted(LABS.glob("*/*.clab.yml")), ids=lambda path: path.stem)
def test_each_lab_of_ours_is_understood(lab: Path) -> None:
    assert read(lab, Path("clab"), {}).nodes


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("    b: {}", "    b: {colour: red}"), "colour"),
        (('"b:eth1"', '"c:eth1"'), "c"),
        (("kind: linux", "kind: srl"), "srl"),
        (("name: two", "nmae: two"), "nmae"),
        (('"b:eth1"', '"b"'), "b"),
    ],
)
def test_what_is_not_understood_is_an_error_that_names_it(change: tuple[str, str], words: str) -> None:
    with pytest.raises(TopologyError, match=words):
        parsed(GOOD.replace(*change))
