"""The alert rules fire when they should, evaluated by Prometheus' own code, and the dashboard's queries are valid."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from hookline.observe.metrics import Metrics
from promtool import MISSING, PROGRAM, promtool

ROOT = Path(__file__).parents[2]
RULES = ROOT / "docs" / "alerts.yaml"
DASHBOARD = json.loads((ROOT / "docs" / "dashboard.json").read_text())
needs_promtool = pytest.mark.skipif(PROGRAM is None, reason=MISSING)
HOOK = 'instance="i",webhook="a/b"'
# The rule → the series with which it fires, a change of them with which it does not, and the labels of the alert.
# `0+30x60` is a counter that grows by 30 a minute for an hour.
CASES: dict[str, tuple[dict[str, str], dict[str, str], dict[str, str]]] = {
    "HooklineLate": (
        {f"hookline_oldest_undelivered_age_seconds{{{HOOK}}}": "901x60"},
        {f"hookline_oldest_undelivered_age_seconds{{{HOOK}}}": "900x60"},
        {"instance": "i"},
    ),
    "HooklineSourceLate": (
        {'hookline_source_lag_seconds{instance="i",source="s"}': "301x60"},
        {'hookline_source_lag_seconds{instance="i",source="s"}': "300x60"},
        {"instance": "i", "source": "s"},
    ),
    "HooklineStuck": (
        {
            'hookline_unsettled{instance="i"}': "5x60",
            'hookline_waiting_by_reason{instance="i",reason="paused"}': "4x60",
            f'hookline_attempts_total{{{HOOK},outcome="delivered"}}': "7x60",
        },
        {'hookline_waiting_by_reason{instance="i",reason="paused"}': "5x60"},
        {"instance": "i"},
    ),
    "HooklineEndpointDown": (
        {f'hookline_circuit_breaker_state{{{HOOK},phase="open"}}': "1x60"},
        {f'hookline_circuit_breaker_state{{{HOOK},phase="open"}}': "1x40 0x9 1x10"},
        {"instance": "i", "webhook": "a/b"},
    ),
    "HooklineEndpointErrors": (
        {
            f'hookline_responses_total{{{HOOK},class="2xx"}}': "0+40x60",
            f'hookline_responses_total{{{HOOK},class="4xx"}}': "0x60",
            f'hookline_responses_total{{{HOOK},class="5xx"}}': "0+30x60",
            f'hookline_responses_total{{{HOOK},class="none"}}': "0+20x60",
        },
        {f'hookline_responses_total{{{HOOK},class="none"}}': "0+5x60"},
        {"instance": "i", "webhook": "a/b"},
    ),
    "HooklineEventsRefused": (
        {f'hookline_responses_total{{{HOOK},class="4xx"}}': "0+1x60"},
        {f'hookline_responses_total{{{HOOK},class="4xx"}}': "3x60"},
        {"instance": "i", "webhook": "a/b"},
    ),
    "HooklineKeysEnd": (
        {f"hookline_keys_left_seconds{{{HOOK}}}": "1209599x60"},
        {f"hookline_keys_left_seconds{{{HOOK}}}": "1209600x60"},
        {"webhook": "a/b"},
    ),
    "HooklineCertificateEnds": (
        {
            f'hookline_certificate_left_seconds{{{HOOK},kind="client"}}': "1209600x60",
            f'hookline_certificate_left_seconds{{{HOOK},kind="endpoint"}}': "1209599x60",
        },
        {f'hookline_certificate_left_seconds{{{HOOK},kind="endpoint"}}': "1209600x60"},
        {"webhook": "a/b", "kind": "endpoint"},
    ),
    "HooklineSpoolFilling": (
        {f"hookline_pending{{{HOOK}}}": "81x60", 'hookline_spool_limit{instance="i"}': "100x60"},
        {f"hookline_pending{{{HOOK}}}": "80x60"},
        {"instance": "i"},
    ),
    "HooklineSpoolFull": (
        {'hookline_spool_full{instance="i"}': "0x60", 'hookline_spool_stalled{instance="i"}': "1x60"},
        {'hookline_spool_stalled{instance="i"}': "0x60"},
        {"instance": "i"},
    ),
    "HooklineDeadLettersGrow": (
        {'hookline_dead_total{instance="i"}': "0+1x60"},
        {'hookline_dead_total{instance="i"}': "9x60"},
        {"instance": "i"},
    ),
    "HooklineRejected": (
        {'hookline_rejected_total{instance="i"}': "0+1x60"},
        {'hookline_rejected_total{instance="i"}': "9x60"},
        {"instance": "i"},
    ),
    "HooklineUnrecognized": (
        {'hookline_input_unrecognized{instance="i"}': "1x60"},
        {'hookline_input_unrecognized{instance="i"}': "0x60"},
        {"instance": "i"},
    ),
    "HooklineLogLost": (
        {'hookline_log_lines_lost_total{instance="i"}': "0+1x60"},
        {'hookline_log_lines_lost_total{instance="i"}': "9x60"},
        {"instance": "i"},
    ),
    "HooklineStateUnreadable": (
        {'hookline_state_unreadable{instance="i"}': "1x60"},
        {'hookline_state_unreadable{instance="i"}': "0x60"},
        {"instance": "i"},
    ),
    "HooklineUnaccounted": (
        {'hookline_unsettled{instance="i"}': "5x60", f"hookline_pending{{{HOOK}}}": "4x60"},
        {f"hookline_pending{{{HOOK}}}": "5x60"},
        {"instance": "i"},
    ),
    "HooklineSlotsUnowned": (
        {'hookline_slots_unowned{instance="i"}': "2x60"},
        {'hookline_slots_unowned{instance="i"}': "0x60"},
        {},
    ),
    "HooklineGone": (
        {'hookline_ready{instance="i"}': "0x60"},
        {'hookline_ready{instance="i"}': "1x60"},
        {"instance": "i"},
    ),
}


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def test_every_rule_has_its_case() -> None:
    """A new rule is tried with series that fire it and with series that do not."""
    assert [rule["alert"] for rule in rules()] == list(CASES)


@needs_promtool
def test_every_rule_fires_when_it_should(tmp_path: Path) -> None:
    """After an hour of its series; and not with one of them changed, nor without any series."""
    severity = {rule["alert"]: rule["labels"]["severity"] for rule in rules()}
    tests: list[dict[str, Any]] = []
    for alert, (series, change, labels) in CASES.items():
        fired = {"exp_labels": {**labels, "severity": severity[alert]}}
        for values, expected in ((series, [fired]), ({**series, **change}, [])):
            tests.append(
                {
                    "interval": "1m",
                    "input_series": [{"series": name, "values": text} for name, text in values.items()],
                    "alert_rule_test": [{"eval_time": "1h", "alertname": alert, "exp_alerts": expected}],
                }
            )
    none = [{"eval_time": "1h", "alertname": alert, "exp_alerts": []} for alert in CASES]
    tests.append({"interval": "1m", "input_series": [], "alert_rule_test": none})
    # promtool compares the words too. They are checked below, and may change without a change of this test.
    plain = [{name: value for name, value in rule.items() if name != "annotations"} for rule in rules()]
    groups = {"groups": [{"name": "hookline", "rules": plain}]}
    (tmp_path / "alerts.yaml").write_text(yaml.safe_dump(groups))
    test = {"rule_files": ["alerts.yaml"], "evaluation_interval": "5m", "tests": tests}
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(test))
    assert f"{len(plain)} rules found" in promtool("check", "rules", RULES)
    promtool("test", "rules", tmp_path / "test.yaml")


def queries() -> dict[str, str]:
    """Every query of the dashboard by its panel and letter, with the variables replaced as Grafana does."""
    found = {
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in DASHBOARD["panels"]
        for target in panel.get("targets", ())
    }
    replaced = {"$__rate_interval": "5m", "$instance": ".*", "$webhook": ".*"}
    for name, value in replaced.items():
        found = {panel: text.replace(name, value) for panel, text in found.items()}
    return found


def served() -> dict[str, set[str]]:
    """Every sample that a relay serves, with its labels, and the one that a metrics server adds."""
    report = runpy.run_path(str(ROOT / "docs" / "generate.py"))["_REPORT"]
    _, page = Metrics(max_webhooks=1).page(report, "")
    return {
        sample.name: {*sample.labels, "instance"}
        for family in text_string_to_metric_families(page.decode())
        for sample in family.samples
    }


def test_the_dashboard_asks_for_what_the_relay_serves() -> None:
    """Every metric of a query, every label in its braces, and every label of a `by` exist."""
    known = served()
    assert len(queries()) > 15
    for panel, text in queries().items():
        assert "$" not in text, panel
        used = re.findall(r"(hookline_\w+)(?:\{([^}]*)\})?", text)
        assert used, panel
        labels = [known[name] for name, _ in used]
        for name, matchers in used:
            assert set(re.findall(r"(\w+)(?:=~|!=|=|!~)", matchers)) <= known[name], (panel, name)
        for by in re.findall(r"by \(([^)]*)\)", text):
            assert all({one.strip() for one in by.split(",")} <= one_of for one_of in labels), (panel, by)
    for variable in DASHBOARD["templating"]["list"][1:]:
        name, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]["query"]).groups()  # type: ignore[union-attr]
        assert label in known[name]


def test_the_dashboard_can_be_read() -> None:
    """Panels have numbers of their own, a title, and do not overlap; legends name labels that the query keeps."""
    panels = DASHBOARD["panels"]
    assert len(panels) == len({one["id"] for one in panels}) == len({one["title"] for one in panels})
    cells = [
        (place["x"] + x, place["y"] + y)
        for place in (one["gridPos"] for one in panels)
        for x in range(place["w"])
        for y in range(place["h"])
    ]
    assert len(cells) == len(set(cells))
    for panel in panels:
        for target in panel.get("targets", ()):
            kept = {one.strip() for by in re.findall(r"by \(([^)]*)\)", target["expr"]) for one in by.split(",")}
            assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= kept, panel["title"]


@needs_promtool
def test_every_query_is_valid(tmp_path: Path) -> None:
    """Prometheus accepts each one as a rule."""
    recorded = [{"record": f"query:{number}", "expr": text} for number, text in enumerate(queries().values())]
    path = tmp_path / "queries.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": recorded}]}))
    assert f"{len(recorded)} rules found" in promtool("check", "rules", path)
