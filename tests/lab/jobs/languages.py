"""The same few jobs in the languages of batch servers: PHP, Perl, Java, Node, Go."""

from tests.lab.agreement import NOBODY, job, peer, url
from tests.lab.network import SERVER

LWP = ("perl", "-MLWP::UserAgent", "-e", "1")


def php(source: str) -> list[str]:
    """PHP, with no patience."""
    return ["php", "-n", "-d", "default_socket_timeout=1", "-r", source]


def php_get(server: str) -> list[str]:
    """PHP's own HTTP client."""
    return php(f'if (file_get_contents("{url(server)}") === false) exit(1);')


def perl(server: str) -> list[str]:
    """The HTTP client of Perl's core."""
    return [
        "perl",
        "-MHTTP::Tiny",
        "-e",
        f'my $r = HTTP::Tiny->new(timeout => 1)->get("{url(server)}"); die $r->{{content}} unless $r->{{success}};',
    ]


def lwp(server: str) -> list[str]:
    """The one that scripts use."""
    ask = f'LWP::UserAgent->new(timeout => 1)->get("{url(server)}")'
    return ["perl", "-MLWP::UserAgent", "-e", f"my $r = {ask}; die $r->status_line unless $r->is_success;"]


def node(server: str, then: str = "answer.resume()") -> list[str]:
    """Node, one request."""
    return [
        "node",
        "-e",
        f'const ask = require("http").get("{url(server)}", {{agent: false}}, answer => {then});'
        'ask.on("error", error => { console.error(error.message); process.exit(1); });'
        "ask.setTimeout(1000, () => ask.destroy(new Error('too late')));",
    ]


def java(where: str, times: int = 1) -> list[str]:
    """`sources/Fetch.java`."""
    return ["java", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-cp", ".", "Fetch", where, str(times)]


def go(where: str, times: int = 1) -> list[str]:
    """`sources/fetch.go`, static."""
    return ["./fetch", where, str(times)]


NO_SERVER = f"http://{SERVER}:{NOBODY}/"
PHP_SOCKET = (
    f'$s = fsockopen("{SERVER}", 80) or exit(1); fwrite($s, "GET /rows HTTP/1.0\\r\\n\\r\\n"); echo fread($s, 4000);'
)

JOBS = [
    job("php", php(PHP_SOCKET)),
    job("php-never-closed", php_get("good")),
    job(
        "php-refused", php(f'if (file_get_contents("{NO_SERVER}") === false) exit(1);'), "connect-refused", peer(NOBODY)
    ),
    job("perl", perl("good")),
    job("perl-closed", perl("closing"), "empty-reply", peer("closing")),
    job("lwp", lwp("good"), needs=LWP),
    job("lwp-no-answer", lwp("silent"), "read-timeout", peer("silent"), needs=LWP),
    job("node", node("good")),
    job(
        "node-large",
        node("large", "{ let n = 0; answer.on('data', d => n += d.length).on('end', () => console.log(n)) }"),
    ),
    job("node-reset", node("resetting"), "reset-by-peer", peer("resetting")),
    job("node-no-answer", node("silent"), "read-timeout", peer("silent")),
    job("java", java(url("good"), 3)),
    job("java-refused", java(NO_SERVER), "connect-refused", peer(NOBODY)),
    job("go", go(url("good"), 3), loose=True),
    job("go-large", go(url("large")), loose=True),
    job("go-refused", go(NO_SERVER), "connect-refused", peer(NOBODY)),
]
