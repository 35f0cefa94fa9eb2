"""The webhook as a server: every replica answers, certificates are replaced without a restart, nothing else is answered."""

from __future__ import annotations

import base64
import json
import ssl
import urllib.request
from urllib.error import HTTPError

import pytest

from netmgr.api.meta import PartialObject
from netmgr.webhook.keeping import LOOK_AGAIN, Secret
from tests.integration.controller.cluster import kill
from tests.integration.webhook.installed import Installed, secret_path
from tests.waiting import eventually


def served(cluster: Installed) -> str:
    """The certificate that a new connection gets."""
    return ssl.get_server_certificate(("127.0.0.1", cluster.port))


def answer(cluster: Installed, method: str, path: str, body: bytes | None = None) -> tuple[int, str]:
    """Status and text, verified by the authority in the Secret."""
    secret: Secret = cluster.read(secret_path(), Secret)
    trusted = ssl.create_default_context(cadata=base64.b64decode((secret.data or {})["ca.crt"]).decode())
    request = urllib.request.Request(f"https://127.0.0.1:{cluster.port}{path}", data=body, method=method)
    try:
        with urllib.request.urlopen(request, context=trusted, timeout=5) as given:  # noqa: S310 - loopback
            return given.status, given.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode()


def test_a_replica_that_does_not_lead_answers_too_and_goes_on_when_the_leader_is_killed(cluster: Installed) -> None:
    with cluster.asked() as leader, cluster.replica("two"):
        assert "leading" not in cluster.log("two")
        kill(leader)
        assert cluster.asks()


def test_new_certificates_are_served_and_trusted_without_a_restart(cluster: Installed) -> None:
    with cluster.asked() as one, cluster.replica("two") as two:
        before, bundle = served(cluster), cluster.trusted()[0]
        lost = {"metadata": {"annotations": {LOOK_AGAIN: None}}, "data": {"tls.crt": None, "ca.key": None}}
        cluster.call(lambda api: api.merge_patch(secret_path(), lost, PartialObject))
        eventually(lambda: served(cluster), lambda now: now != before, within=20, what="another certificate")
        eventually(cluster.trusted, lambda now: set(now) != {bundle} and len(set(now)) == 1, within=20, what="another authority")
        eventually(cluster.asks, bool, within=20, what="the API server trusts it")
        assert (one.poll(), two.poll()) == (None, None)


def test_nothing_but_reviews_is_answered(cluster: Installed) -> None:
    with cluster.asked():
        assert answer(cluster, "GET", "/metrics")[0] == 404
        assert answer(cluster, "GET", "/objects")[0] == 405
        assert answer(cluster, "POST", "/objects", b"{}")[0] == 400
        assert answer(cluster, "POST", "/workloads", b"\xff" * 1000)[0] == 400
        with pytest.raises(OSError):  # noqa: PT011 - however it breaks off
            urllib.request.urlopen(f"http://127.0.0.1:{cluster.port}/objects", timeout=5)


@pytest.mark.parametrize("path", ["/defaults", "/objects", "/workloads"])
def test_an_object_of_no_known_form_is_left_to_the_schema(cluster: Installed, path: str) -> None:
    request = {
        "uid": "u",
        "kind": {"kind": "SpiderIPPool"},
        "operation": "UPDATE",
        "name": "p",
        "object": {"spec": 7},
        "oldObject": [],
    }
    with cluster.asked():
        status, text = answer(cluster, "POST", path, json.dumps({"request": request}).encode())
    assert (status, json.loads(text)["response"]) == (200, {"uid": "u", "allowed": True})


def test_a_secret_that_is_gone_stops_nobody_and_is_said(cluster: Installed) -> None:
    with cluster.asked():
        cluster.call(lambda api: api.delete(secret_path()))
        eventually(cluster.log, lambda text: "webhook_secret_missing" in text, within=20, what="a word in the log")
        assert cluster.asks()
        cluster.install()
        eventually(
            lambda: cluster.read(secret_path(), Secret).data,
            lambda data: bool(data and data.get("tls.crt")),
            within=20,
            what="anew",
        )
