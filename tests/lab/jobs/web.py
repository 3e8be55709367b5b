"""HTTP jobs: curl, wget, shell, Python and its libraries."""

import json

from tests.lab.agreement import DROPPED, NOBODY, REJECTED, job, peer, url
from tests.lab.network import DNS, SERVER
from tests.lab.recording import python

DEBIANS = "/usr/bin/python3"  # whose requests is the one that jobs of system administrators use
HAS_REQUESTS = (DEBIANS, "-c", "import requests")


def shell(line: str, program: str = "sh") -> list[str]:
    """A command line of sh(1)."""
    return [program, "-c", line]


def web(source: str) -> list[str]:
    """Python with urllib."""
    return python(f"import json, http.client, urllib.request as web\n{source}")


def fetch(server: str) -> list[str]:
    """Ask for JSON and parse it."""
    return web(f'json.load(web.urlopen("{url(server)}", timeout=2))')


def requests(source: str) -> list[str]:
    """Python with requests."""
    return [DEBIANS, "-c", f"import requests\n{source}"]


def threads(*servers: str) -> list[str]:
    """One thread a server."""
    return python(
        "import concurrent.futures, sys, urllib.request as web\n"
        "sys.tracebacklimit = 0\n"
        "ask = lambda url: web.urlopen(url, timeout=5).read()\n"
        "with concurrent.futures.ThreadPoolExecutor() as threads:\n"
        f"    print(len(list(threads.map(ask, {[url(each) for each in servers]}))))\n"
    )


KEEP_ALIVE = f"""
connection = http.client.HTTPConnection("{peer("good")}", timeout=3)
for _ in range(3):
    connection.request("GET", "/rows")
    print(len(connection.getresponse().read()))
connection.request("POST", "/rows", body={json.dumps({"a": 1})!r}, headers={{"Content-Type": "application/json"}})
print(connection.getresponse().status)
"""
NO_DNS = f"http://{SERVER}:{NOBODY}/"

JOBS = [
    job("curl", ["curl", "-sS", url("good")]),
    job("curl-name", ["curl", "-sS", "http://api.partner.example:80/rows", "--connect-to", f"::{SERVER}:80"]),
    job(
        "curl-resolves",
        ["curl", "-sS", "--max-time", "2", "http://api.partner.example:70/"],
        "connect-refused",
        peer(NOBODY),
    ),
    job("curl-large", shell(f"curl -sS {url('large')} | md5sum")),
    job("curl-upload", shell(f"head -c 150000 /dev/zero | curl -sS --data-binary @- {url('good')}")),
    job("curl-refused", ["curl", "-sS", NO_DNS], "connect-refused", peer(NOBODY)),
    job(
        "curl-no-answer-to-connect",
        ["curl", "-sS", "--connect-timeout", "1", f"http://{SERVER}:{DROPPED}/"],
        "connect-timeout",
        peer(DROPPED),
    ),
    job("curl-max-time", ["curl", "-sS", "--max-time", "1", url("silent")], "read-timeout", peer("silent")),
    job("curl-short-body", ["curl", "-sS", url("short-body")], "truncated-response", peer("short-body")),
    job("curl-retry", ["curl", "-sS", "--retry", "1", "--retry-connrefused", NO_DNS], "connect-refused", peer(NOBODY)),
    job("wget-reset", ["wget", "-qO-", "--tries=1", url("resetting")], "reset-by-peer", peer("resetting")),
    job("jq", shell(f"curl -sS {url('good')} | jq -c .rows")),
    job("jq-html", shell(f"curl -sS {url('html')} | jq .", "bash"), "html-instead-of-json", peer("html")),
    job("pipeline", shell(f"curl -sS {url('good')} | tr a-z A-Z | sort")),
    job(
        "pipeline-reset",
        shell(f"set -o pipefail; curl -sS {url('resetting')} | sort | grep rows", "bash"),
        "reset-by-peer",
        peer("resetting"),
    ),
    job("fallback", shell(f"curl -sSf {NO_DNS} || curl -sSf {url('good')}"), "recovered-error", peer(NOBODY)),
    job("xargs", shell(f"echo {url('good')} {url('good')} {url('good')} | xargs -n 1 -P 2 curl -sS")),
    job("urllib-html", fetch("html"), "html-instead-of-json", peer("html")),
    job("urllib-no-answer", fetch("silent"), "read-timeout", peer("silent")),
    job("http-client-keep-alive", web(KEEP_ALIVE)),
    job(
        "urllib-rejected",
        web(f'web.urlopen("http://{SERVER}:{REJECTED}/", timeout=2)'),
        "unreachable",
        peer(REJECTED),
    ),
    job("requests", requests(f'print(requests.get("{url("good")}", timeout=2).json())'), needs=HAS_REQUESTS),
    job(
        "requests-no-answer",
        requests(f'requests.get("{url("silent")}", timeout=1)'),
        "read-timeout",
        peer("silent"),
        needs=HAS_REQUESTS,
    ),
    job("threads", threads("good", "good", "good", "large")),
    job("threads-one-reset", threads("good", "good", "resetting"), "reset-by-peer", peer("resetting")),
    job("getent", shell("getent hosts api.partner.example", "sh")),
    job(
        "dns-dead",
        python(
            f"import socket\ns = socket.socket(type=2)\ns.settimeout(1)\n"
            f's.connect(("{DNS}", 54))\ns.send(b"?")\ns.recv(9)'
        ),
        "connect-refused",
        f"{DNS}:54",
    ),
]
