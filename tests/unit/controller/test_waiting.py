"""Who waits for what: an event reaches those whom it may help, and no others."""

from __future__ import annotations

from netmgr.controller.waiting import Waiting, for_application, for_pool


def test_a_free_address_reaches_who_waits_for_its_pool_and_who_does_not_know_what_for() -> None:
    waiting = Waiting()
    waiting.put("default/a", "NoUsablePool", [for_pool("p"), for_pool("q")])
    waiting.put("default/b", "NoUsablePool", [for_pool("r")])
    waiting.put("default/c", "NoAgent")
    waiting.put("default/d", "PoolPending", [for_application("apps_v1_Deployment_default_web")])
    assert waiting.concerned(for_pool("q")) == ["default/a", "default/c"]


def test_a_pod_that_waits_for_something_else_now_is_not_woken_for_the_old_reason() -> None:
    waiting = Waiting()
    waiting.put("default/a", "NoUsablePool", [for_pool("p")])
    waiting.put("default/a", "NoUsablePool", [for_pool("q")])
    assert (waiting.concerned(for_pool("p")), waiting.concerned(for_pool("q"))) == ([], ["default/a"])


def test_a_pod_that_is_served_waits_for_nothing() -> None:
    waiting = Waiting()
    waiting.put("default/a", "NoUsablePool", [for_pool("p")])
    waiting.end("default/a")
    assert ("default/a" in waiting, len(waiting), waiting.concerned(for_pool("p"))) == (False, 0, [])


def test_who_came_first_is_looked_at_first() -> None:
    waiting = Waiting()
    for name in "cab":
        waiting.put(name, "NoUsablePool", [for_pool("p")])
    assert waiting.concerned(for_pool("p")) == ["c", "a", "b"]
