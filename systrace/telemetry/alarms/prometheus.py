"""Rules for what `run --metrics` writes (https://prometheus.io/docs/prometheus/latest/configuration/alerting_rules/)."""

from __future__ import annotations

from systrace.telemetry import style
from systrace.telemetry.measures import FAILED, LAST_RUN, LAST_SUCCESS, LONG_SILENCE_S, PREFIX, SILENCE

# A scrape without honor_labels gives `job` to the exporter: the label that we wrote is exported_job then.
_JOB = "{{ or $labels.exported_job $labels.job }}"
_TEXT = """\
# Alerting rules for the metrics of `systrace run --job NAME --metrics FILE.prom`; `promtool check rules` checks them.
groups:
  - name: systrace
    rules:
      - alert: JobFailed
        expr: {failed} == 1
        labels:
          severity: critical
        annotations:
          summary: '{job} failed: {{{{ $labels.cause }}}}{{{{ with $labels.peer }}}}, {{{{ . }}}}{{{{ end }}}}'
          description: '`systrace explain {{{{ $labels.cause }}}}` says what proves it and what to do.'
      # A day and an hour: of jobs that run nightly. The timestamps are in the file, whoever wrote it last.
      - alert: JobDidNotRun
        expr: time() - {last_run} > 25 * 3600
        labels:
          severity: critical
        annotations:
          summary: '{job} has not run for {{{{ $value | humanizeDuration }}}}'
      - alert: JobDidNotSucceed
        expr: time() - {last_success} > 2 * 86400
        labels:
          severity: critical
        annotations:
          summary: '{job} has not succeeded for {{{{ $value | humanizeDuration }}}}'
      # NAT gateways and balancers forget connections that are silent for 350 s: it went well once more.
      - alert: JobNearIdleLimit
        expr: {silence} > {limit} and ignoring (cause, peer) {failed} == 0
        labels:
          severity: warning
        annotations:
          summary: 'a connection of {job} was silent for {{{{ $value | humanizeDuration }}}}: set keepalive'
"""


@style("Alerting rules for the metrics of --metrics.")
def text() -> str:
    """A rule file."""
    names = {"failed": FAILED.name, "last_run": LAST_RUN, "last_success": LAST_SUCCESS, "silence": SILENCE.name}
    return _TEXT.format(**{key: PREFIX + name for key, name in names.items()}, limit=LONG_SILENCE_S, job=_JOB)
