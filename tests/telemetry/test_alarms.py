"""`systrace alarms`: what the tools of each ecosystem accept, on exactly what the outlets write."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from systrace.telemetry import ALARMS, JobRun
from systrace.telemetry.outlets.emf import event
from systrace.telemetry.outlets.metrics import exposition

_COMMANDS = ("fields", "filter", "sort", "limit", "stats", "parse", "display", "dedup")
_WORDS = {"by", "as", "desc", "asc", "and", "or"}
_FUNCTIONS = {"count", "count_distinct", "max", "min", "sum", "avg", "bin"}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool: apt-get install prometheus")
def test_promtool_accepts_the_rules(tmp_path: Path) -> None:
    """As a rule file."""
    path = tmp_path / "rules.yml"
    path.write_text(ALARMS["prometheus"].text())
    done = subprocess.run(["promtool", "check", "rules", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 rules found" in done.stdout


@pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool: apt-get install prometheus")
@pytest.mark.parametrize("label", ["job", "exported_job"])
def test_the_rules_fire(failed: JobRun, healthy: JobRun, label: str, tmp_path: Path) -> None:
    """On what is written, by promtool's own test of rules; as it is, and as a scrape without honor_labels has it."""
    (tmp_path / "rules.yml").write_text(ALARMS["prometheus"].text())
    near = replace(healthy, job="near", longest_silence_s=340.0, ended_s=0)
    series = [*_series(exposition(replace(failed, ended_s=0), 0), label), *_series(exposition(near, 0), label)]
    near_limit = _alert("warning", label, "near")
    near_limit["exp_annotations"] = {"summary": "a connection of near was silent for 5m 40s: set keepalive"}
    failure = _alert("critical", label, "nightly")
    failure["exp_labels"] |= {"cause": "idle-timeout", "peer": failed.peer}
    failure["exp_annotations"] = {
        "summary": f"nightly failed: idle-timeout, {failed.peer}",
        "description": "`systrace explain idle-timeout` says what proves it and what to do.",
    }
    alerts = {"JobFailed": [failure], "JobNearIdleLimit": [near_limit], "JobDidNotRun": [], "JobDidNotSucceed": []}
    wanted = [{"eval_time": "5m", "alertname": name, "exp_alerts": each} for name, each in alerts.items()]
    test = {
        "rule_files": ["rules.yml"],
        "tests": [{"interval": "1m", "input_series": series, "alert_rule_test": wanted}],
    }
    (tmp_path / "test.yml").write_text(json.dumps(test))
    argv = ["promtool", "test", "rules", "test.yml"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _series(text: str, label: str) -> list[dict[str, str]]:
    text = text if label == "job" else text.replace("{job=", '{job="node",exported_job=')
    pairs = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
    return [{"series": name, "values": f"{value}x10"} for name, _space, value in pairs]


def _alert(severity: str, label: str, job: str) -> dict[str, dict[str, str]]:
    return {"exp_labels": {"severity": severity, "job": "node", label: job}, "exp_annotations": {}}


def test_cfn_lint_accepts_the_template(tmp_path: Path) -> None:
    """Without a warning."""
    path = tmp_path / "alarms.yml"
    path.write_text(ALARMS["cloudformation"].text())
    argv = [str(Path(sys.executable).with_name("cfn-lint")), "--include-checks", "I", "--", str(path)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def test_the_template_asks_for_what_is_written(failed: JobRun) -> None:
    """Metrics of the event, or of its own filter, whose members are the event's; dimensions that the event has."""
    text, known = ALARMS["cloudformation"].text(), event(failed)
    (directive,) = known["_aws"]["CloudWatchMetrics"]
    metrics = {each["Name"] for each in directive["Metrics"]} | {"LostConnections"}
    assert set(re.findall(r"MetricName: (\w+)", text)) <= metrics
    assert set(re.findall(r"Namespace: (\w+)", text)) == {directive["Namespace"]}
    assert set(re.findall(r"\$\.([\w.]+)", text)) <= set(known)
    assert set(re.findall(r"- Name: (\w+)", text)) == {"Job"}
    causes = set(re.findall(r'\$\.Cause = "([\w-]+)"', text))
    from systrace.rules import RULES

    assert causes <= set(RULES)


def test_the_rules_ask_for_what_is_written(failed: JobRun) -> None:
    """Names and labels."""
    text, written = ALARMS["prometheus"].text(), exposition(failed, 1.0)
    names = set(re.findall(r"systrace_job_\w+", text))
    assert len(names) == 4
    assert names <= set(re.findall(r"^systrace_job_\w+", written, re.MULTILINE))
    labels = set(re.findall(r"\$labels\.(\w+)", text))
    assert labels - {"exported_job"} <= set(re.findall(r'[{,](\w+)="', written))


def test_the_queries_ask_for_what_is_written(failed: JobRun) -> None:
    """Each word is a command, a function, a name that the query itself gives, or a member of the event."""
    members = set(event(failed))
    queries = [each for each in ALARMS["insights"].text().split("\n\n") if each.strip()]
    assert len(queries) == 6
    for query in queries:
        comment, *lines = query.strip().splitlines()
        assert comment.startswith("# ")
        assert all(line.removeprefix("| ").split()[0] in _COMMANDS for line in lines)
        assert all(line.startswith("| ") for line in lines[1:])
        own = set(re.findall(r" as (\w+)", query))
        text = re.sub(r'"[^"]*"', "", "\n".join(lines))
        words = set(re.findall(r"(?<![@\w.])[A-Za-z]\w*", text)) - own - _WORDS - _FUNCTIONS - set(_COMMANDS)
        assert words <= members, words - members


def test_all_of_it_is_text() -> None:
    """ASCII with a newline at its end, in a pipe as in a file."""
    for each in ALARMS.values():
        assert each.text().isascii()
        assert each.text().endswith("\n")
