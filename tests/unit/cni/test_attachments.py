"""The records in memory and on disk tell the same, whatever was asked of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from cni.attachments import Attachment, AttachmentStore, Grant

NAMES = ("10.0.0.1", "10.0.0.2", "fd00--1")
Step = tuple[str, str, str, tuple[str, ...]]
STEPS = st.tuples(
    st.sampled_from(["attach", "attach", "release", "forget"]),
    st.sampled_from(["c1", "c2", "c3"]),
    st.sampled_from(["pod-a", "pod-b"]),
    st.lists(st.sampled_from(NAMES), max_size=2, unique=True).map(tuple),
)


def attachment(container: str, pod: str, names: tuple[str, ...]) -> Attachment:
    grants = tuple(Grant(name=name, uid="u", address=name, prefix_length=24) for name in names)
    return Attachment(network="net", container_id=container, ifname="eth0", pod_uid=pod, boot_id="boot", grants=grants)


def opened(folder: Path) -> AttachmentStore:
    store = AttachmentStore(folder, "boot")
    store.open()
    return store


def played(store: AttachmentStore, steps: Sequence[Step]) -> AttachmentStore:
    for what, container, pod, names in steps:
        one = attachment(container, pod, names)
        if what == "attach":
            store.attach(one)
        elif what == "release":
            store.release(one.key)
        else:
            store.forget(one.key)
    return store


def by_scan(store: AttachmentStore) -> tuple[list[list[Attachment]], list[list[Attachment]]]:
    """What the index must say: of each sandbox, and of each granting object."""
    attached = list(store.attached.values())
    sandboxes = [[one for one in attached if one.pod_uid == pod] for pod in ("pod-a", "pod-b")]
    names = [
        [one for one in attached if name in {grant.name for grant in one.grants}] for name in ("10.0.0.1", "10.0.0.2", "fd00--1")
    ]
    return sandboxes, names


def by_index(store: AttachmentStore) -> tuple[list[list[Attachment]], list[list[Attachment]]]:
    sandboxes = [store.of_sandbox((pod, "eth0")) for pod in ("pod-a", "pod-b")]
    return sandboxes, [store.holding(name) for name in NAMES]


def in_order(found: tuple[list[list[Attachment]], list[list[Attachment]]]) -> list[list[Attachment]]:
    return [sorted(some, key=lambda one: one.key) for part in found for some in part]


@given(st.lists(STEPS, max_size=12))
def test_what_is_asked_for_is_found_as_if_all_records_were_looked_at(steps: list[Step]) -> None:
    with TemporaryDirectory() as folder:
        store = played(opened(Path(folder)), steps)

        assert in_order(by_index(store)) == in_order(by_scan(store))


@given(st.lists(STEPS, max_size=12))
def test_a_new_process_finds_what_the_last_one_held(steps: list[Step]) -> None:
    with TemporaryDirectory() as folder:
        before = played(opened(Path(folder)), steps)

        after = opened(Path(folder))

        assert after.attached == before.attached
        assert after.released == before.released
        assert in_order(by_index(after)) == in_order(by_index(before))


def test_a_record_that_cannot_be_read_hides_no_other_and_is_known_to_be_missing(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.attach(attachment("c1", "pod-a", ("10.0.0.1",)))
    store.attach(attachment("c2", "pod-b", ("10.0.0.2",)))
    (tmp_path / "attached" / "net.c1.eth0.json").write_bytes(b"")

    again = opened(tmp_path)

    assert ([key.container_id for key in again.attached], again.was_empty) == (["c2"], True)
