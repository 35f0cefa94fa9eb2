"""Pools of the other built-in kinds, with their real controllers: a DaemonSet, and a CronJob's Jobs."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.e2e.cluster import Cluster, Object
from tests.waiting import eventually

pytestmark = pytest.mark.lab
SPACE = "kinds"
ASKS = {"ipam.spidernet.io/subnet": '{"ipv4":["nginx-subnet-v4"]}'}


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A namespace of this test's own."""
    cluster.kubectl("create", "namespace", SPACE)
    yield SPACE
    cluster.kubectl("delete", "namespace", SPACE, "--wait")


def template(name: str, **spec: object) -> Object:
    container = {"name": "nginx", "image": "nginx", "imagePullPolicy": "IfNotPresent"}
    return {
        "metadata": {"labels": {"app": name}, "annotations": ASKS},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [container], **spec},
    }


def counts(cluster: Cluster, application: str) -> tuple[int, int]:
    status = cluster.auto_pool_of(application)["status"]
    return status.get("allocatedIPCount", 0), status.get("totalIPCount", 0)


def test_a_daemon_set_has_an_address_on_each_node_and_one_to_spare(cluster: Cluster, namespace: str) -> None:
    spec = {"selector": {"matchLabels": {"app": "each"}}, "template": template("each")}
    cluster.apply(json.dumps({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "each"}, "spec": spec}), SPACE)
    cluster.running("app=each", 2, SPACE)
    eventually(lambda: counts(cluster, "each"), lambda seen: seen == (2, 3), what="2 of 3")
    cluster.kubectl("rollout", "restart", "ds", "each", "-n", SPACE)
    cluster.kubectl("rollout", "status", "ds", "each", "-n", SPACE, "--timeout=120s")
    eventually(lambda: counts(cluster, "each"), lambda seen: seen == (2, 3), what="2 of 3 after the rollout")


def test_jobs_of_a_cron_job_share_its_pool_and_give_back_what_they_finished_with(cluster: Cluster, namespace: str) -> None:
    command = [{"name": "work", "image": "nginx", "imagePullPolicy": "IfNotPresent", "command": ["/bin/sleep", "1"]}]
    job = {"completions": 3, "parallelism": 2, "template": template("nightly", restartPolicy="Never", containers=command)}
    spec = {"schedule": "0 0 1 1 *", "suspend": True, "jobTemplate": {"spec": job}}
    cluster.apply(json.dumps({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "nightly"}, "spec": spec}), SPACE)
    cluster.kubectl("create", "job", "now", "--from=cronjob/nightly", "-n", SPACE)
    cluster.kubectl("wait", "job/now", "-n", SPACE, "--for=condition=complete", "--timeout=120s")
    eventually(lambda: counts(cluster, "nightly"), lambda seen: seen == (0, 3), what="0 of 3")
