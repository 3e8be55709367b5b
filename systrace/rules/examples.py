"""Lines of short traces, which the rules' `fires` and `silent` are made of; `pages.full_trace` completes them."""

from __future__ import annotations


def connects(result: str, port: int = 80, time: str = "1.0", fd: int = 3, host: str = "192.0.2.7") -> str:
    """A connect and what it gave."""
    address = f'{{sa_family=AF_INET, sin_port=htons({port}), sin_addr=inet_addr("{host}")}}'
    return f"9 {time} connect({fd}, {address}, 16) = {result}\n"


def asks(text: str, time: str = "1.1") -> str:
    """Something is sent."""
    size = _size(text)
    return f'9 {time} sendto(3, "{text}", {size}, 0, NULL, 0) = {size} <0.0001>\n'


def gets(text: str, time: str = "1.2") -> str:
    """Something is received; "" is the peer's end."""
    return f'9 {time} recvfrom(3, "{text}", 65536, 0, NULL, NULL) = {_size(text)} <0.01>\n'


def came(head: str, body: str = "", time: str = "1.2") -> str:
    """An answer of HTTP is received: header lines separated by |."""
    text = "".join(f"{line}\\r\\n" for line in head.split("|")) + "\\r\\n" + body
    return f'9 {time} recvfrom(3, "{text}", 65536, 0, NULL, NULL) = {_size(text)} <0.001>\n'


def replies(time: str = "1.2") -> str:
    """The shortest answer of HTTP."""
    return f'9 {time} recvfrom(3, "HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n", 4096, 0, NULL, NULL) = 38 <0.001>\n'


def said(text: str) -> str:
    """The program writes to its error channel."""
    return f'9 2.5 write(2, "{text}", {len(text)}) = {len(text)} <0.0001>\n'


def exits(time: str, status: int = 0) -> str:
    """Its end."""
    return f"9 {time} +++ exited with {status} +++"


def _size(text: str) -> int:
    """In bytes, of text as strace escapes it."""
    return len(text.encode().decode("unicode_escape"))


OPEN = connects("0 <0.01>")
REQUEST = OPEN + '9 1.1 sendto(3, "GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n", 29, 0, NULL, 0) = 29 <0.0001>\n'
FAIL, FINE = exits("9.9", 1), exits("9.9")
ASK = asks("GET /v1/rows HTTP/1.1\\r\\nHost: a\\r\\nAccept: */*\\r\\n\\r\\n")


def job(*lines: str, port: int = 80, status: int = 1) -> str:
    """A job that connects, does what the lines say, and ends with this status."""
    return connects("0 <0.01>", port) + "".join(lines) + exits("2.9", status)


def answered(kind: str, body: str, words: str = "", status: int = 1) -> str:
    """A job that gets an answer of this Content-Type, has something to say of it where there are words, and ends."""
    head = f"HTTP/1.1 200 OK|Content-Type: {kind}|Content-Length: {_size(body)}"
    return job(ASK, came(head, body), said(words) if words else "", status=status)
