#!/bin/bash
# nightly_export: fetches the order report and counts its rows. Written years ago, never touched since.
# usage: legacy_job.sh [URL]
set -u
url=${1:-http://127.0.0.1:18080/reports/orders.json}
limit=6   # seconds: "it has always been enough"
report=$(mktemp) || exit 1
trap 'rm -f "$report"' EXIT

if command -v curl >/dev/null; then
    curl --silent --show-error --max-time "$limit" --output "$report" "$url"
else
    python3 - "$url" "$limit" >"$report" <<'PYTHON'
import sys, urllib.request
sys.stdout.write(urllib.request.urlopen(sys.argv[1], timeout=float(sys.argv[2])).read().decode())
PYTHON
fi || { echo "nightly_export: no report today" >&2; exit 1; }

echo "nightly_export: $(grep -c '"id"' "$report") rows"
