from __future__ import annotations

import pytest

from netmgr.agent.metrics import Family, Metrics, one


def lines(metrics: Metrics, *now: Family) -> list[str]:
    return metrics.text(now).decode().splitlines()


def test_a_call_is_in_every_bucket_that_its_time_fits() -> None:
    metrics = Metrics()
    metrics.called("ADD", "ok", 0.0005)
    metrics.called("ADD", "ok", 0.0015)
    metrics.called("ADD", "ok", 99.0)

    found = [line.split()[1] for line in lines(metrics) if line.startswith('netmgr_agent_call_seconds_bucket{command="ADD"')]

    assert found == ["1", "1", *["2"] * 14, "3"]
    assert 'netmgr_agent_call_seconds_count{command="ADD"} 3' in lines(metrics)
    assert 'netmgr_agent_call_seconds_sum{command="ADD"} 99.002' in lines(metrics)


@pytest.mark.parametrize(("command", "label"), [("ADD", "ADD"), ("GC", "GC"), ("x" * 100, "other"), ('"}', "other")])
def test_a_command_that_is_none_makes_no_label_of_its_own(command: str, label: str) -> None:
    metrics = Metrics()
    metrics.called(command, "ok", 0.1)

    assert f'netmgr_agent_calls_total{{command="{label}",outcome="ok"}} 1' in lines(metrics)


def test_each_name_has_its_help_and_type_once_and_the_text_ends_with_its_line() -> None:
    text = Metrics().text([one("netmgr_agent_x", "gauge", "What x is.", 1.5)]).decode()

    assert "# HELP netmgr_agent_x What x is.\n# TYPE netmgr_agent_x gauge\nnetmgr_agent_x 1.5\n" in text
    assert text.count("# TYPE netmgr_agent_call_seconds histogram") == 1
    assert text.endswith("\n")


def test_large_numbers_keep_all_their_digits() -> None:
    assert "netmgr_agent_x 1795556461.25" in lines(Metrics(), one("netmgr_agent_x", "gauge", "", 1795556461.25))
