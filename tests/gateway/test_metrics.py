"""Metrics: every figure has a name that is documented, and one nobody reported is absent, not zero."""

from gateway.decision_counts import DecisionCounts
from gateway.keeper_messages import DutyStatus, KeeperStatus
from gateway.metrics import FIGURES, Metrics
from gateway.policy.model import Action, Mode, Verdict


def scrape(own: dict[str, float], status: KeeperStatus, age_s: float = 0.5) -> dict[str, str]:
    lines = Metrics(lambda: own, lambda: (status, age_s)).text().decode().splitlines()
    return dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))  # type: ignore[misc]


def test_own_figures_and_the_keepers_stand_side_by_side() -> None:
    duties = {
        "export": DutyStatus("bucket: denied", {"kubetape_segment_export_backlog": 3.0}),
        "index": DutyStatus("", {"kubetape_indexed_records_total": 12.0}),
    }
    found = scrape({"kubetape_calls_active": 2.0}, KeeperStatus(1, duties))
    assert found["kubetape_calls_active"] == "2.0"
    assert found["kubetape_segment_export_backlog"] == "3.0"
    assert found["kubetape_indexed_records_total"] == "12.0"
    assert found['kubetape_keeper_duty_failing{duty="export"}'] == "1.0"
    assert found['kubetape_keeper_duty_failing{duty="index"}'] == "0.0"
    assert found["kubetape_keeper_up"] == "1.0"
    assert found["kubetape_keeper_status_age_seconds"] == "0.5"


def test_a_keeper_that_never_spoke_is_down_and_its_figures_are_absent() -> None:
    found = scrape({}, KeeperStatus())
    assert found["kubetape_keeper_up"] == "0.0"
    assert "kubetape_segment_export_backlog" not in found
    assert "kubetape_keeper_status_age_seconds" not in found


def test_a_keeper_that_fell_silent_is_down() -> None:
    assert scrape({}, KeeperStatus(1), age_s=31.0)["kubetape_keeper_up"] == "0.0"


def test_figures_without_a_documented_name_are_not_shown() -> None:
    found = scrape({}, KeeperStatus(1, {"index": DutyStatus("", {"who_knows": 1.0})}))
    assert not any("who_knows" in name for name in found)


def test_names_follow_prometheus_rules() -> None:
    for name, figure in FIGURES.items():
        assert name.startswith("kubetape_")
        assert (figure.kind == "counter") == name.endswith("_total")
        assert figure.help.endswith(".")


def test_what_policy_did_is_counted_by_rule() -> None:
    counts = DecisionCounts()
    counts.decided(Verdict(Action.DENY, Mode.ENFORCE, ("prod/no-delete",), shadow=("prod/later",)))
    counts.decided(Verdict(Action.ALLOW, Mode.OBSERVE))
    counts.masked_values("prod/secrets", 3)
    counts.approval_ended("approved", 20.0)
    lines = Metrics(dict, lambda: (KeeperStatus(), 0.0), lambda: counts).text().decode().splitlines()
    assert 'kubetape_decisions_total{action="deny",rule="prod/no-delete"} 1.0' in lines
    assert 'kubetape_decisions_total{action="allow",rule=""} 1.0' in lines
    assert 'kubetape_shadow_total{rule="prod/later"} 1.0' in lines
    assert 'kubetape_masked_values_total{rule="prod/secrets"} 3.0' in lines
    assert 'kubetape_approval_wait_seconds_bucket{le="15.0",result="approved"} 0.0' in lines
    assert 'kubetape_approval_wait_seconds_bucket{le="30.0",result="approved"} 1.0' in lines
    assert 'kubetape_approval_wait_seconds_count{result="approved"} 1.0' in lines
    assert 'kubetape_approval_wait_seconds_sum{result="approved"} 20.0' in lines
