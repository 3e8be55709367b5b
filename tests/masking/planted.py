"""Secrets of every kind that a job's log can hold, and the log with them."""

# ruff: noqa: E501
from __future__ import annotations

import base64
import json

PORTS = {"smtp": 25, "ftp": 21, "pop": 110, "imap": 143, "redis": 6379, "pg": 5432, "mysql": 3306, "amqp": 5672}
PORTS |= {"ldap": 389, "mqtt": 1883, "mongo": 27017, "kafka": 9092, "socks": 1080}


def secret(number: int) -> str:
    """One that no pattern knows by its form."""
    return f"Qz{number:02d}xW7kLm"


def _b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _lv(data: bytes, size: int = 2) -> bytes:
    return len(data).to_bytes(size, "big") + data


def _http(*fields: str, path: str = "/a", body: str = "", method: str = "POST") -> bytes:
    head = [f"{method} {path} HTTP/1.1", "Host: api.example", *fields]
    return ("\r\n".join([*head, f"Content-Length: {len(body)}"] if body else head) + "\r\n\r\n" + body).encode()


class Plants:
    """What the job sends (protocol, bytes), what it runs, and every secret in either."""

    def __init__(self) -> None:
        self.secrets: list[str] = []
        self.sent: list[tuple[str, list[bytes]]] = []
        self.argv: list[list[str]] = []
        self._headers_and_paths()
        self._bodies()
        self._text_logins()
        self._binary_logins()
        self._programs()

    def new(self) -> str:
        self.secrets.append(secret(len(self.secrets)))
        return self.secrets[-1]

    def send(self, protocol: str, *calls: bytes | str) -> None:
        self.sent.append((protocol, [c.encode("latin-1") if isinstance(c, str) else c for c in calls]))

    def _headers_and_paths(self) -> None:
        for field in (
            "Authorization: Bearer {}", "Authorization: {}", "Proxy-Authorization: Bearer {}", "X-Api-Key: {}", "X-Auth-Token: {}",
            "X-Vendor-Secret: {}", "X-Custom-Auth: {}", "Ocp-Apim-Subscription-Key: {}", "X-Amz-Security-Token: {}",
            "Cookie: sid={}", "PRIVATE-TOKEN: {}", "X-Hub-Signature: sha1={}", "Authorization: Digest response={}", "X-Password: {}",
        ):  # fmt: skip
            self.send("http", _http(field.format(self.new())))
        for path in (
            "/a?token={}", "/a?api_key={}&x=1", "/a?x=1&access_token={}", "/a?key={}", "/blob?sp=r&sig={}", "/a?X-Amz-Signature={}",
            "/a?X-Amz-Credential={}", "/cb?code={}&state=1", "/services/T00000000/B00000000/{}", "/bot123456789:{}/sendMessage",
            "/api/webhooks/123456789/{}", "/a?password={}", "/a?client_secret={}", "http://joe:{}@proxy.example/a", "/a#id_token={}",
        ):  # fmt: skip
            self.send("http", _http(path=path.format(self.new()), method="GET"))

    def _bodies(self) -> None:
        for body in (
            "user=joe&password={}", "grant_type=x&client_secret={}", "refresh_token={}&a=1", '{{"password":"{}"}}',
            '{{"user":"joe","apiKey":"{}"}}', '{{"nested":{{"clientSecret":"{}"}}}}', '{{"text":"{{\\"token\\":\\"{}\\"}}"}}',
            "<login><password>{}</password></login>", '<user name="joe" password="{}"/>', "<wsse:Password Type='x'>{}</wsse:Password>",
            '--b\r\nContent-Disposition: form-data; name="password"\r\n\r\n{}\r\n--b--', "db:\n  password: {}\n",
            "-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----", "Server=x;Uid=joe;Pwd={};", "DB_PASSWORD='{}'",
            "AccountName=x;AccountKey={};Suffix=y", "postgres://joe:{}@db.example/x", '{{"private_key":"{}"}}',
        ):  # fmt: skip
            self.send("http", _http(body=body.format(self.new())))
        for form in (
            "ghp_{}abcdefghijkl",
            "xoxb-1234567890-{}",
            "sk_live_{}abcdefgh",
            "glpat-{}abcdefgh",
            "eyJhbGciOiJ9x.{}abcde.x",
        ):
            self.secrets.append(form.format(secret(len(self.secrets))))
            self.send("http", _http(body=f"it is {self.secrets[-1]} here"))
        key = "AKIAQ7Z2XW5KLMNOPQRS"
        self.secrets.append(key)
        self.send("http", _http(body=f"it is {key} here"))

    def _text_logins(self) -> None:
        self.send(
            "smtp", "EHLO x\r\n", "AUTH LOGIN\r\n", self._kept(_b64("joe@x.example")), self._kept(_b64(self.new()))
        )
        self.send("smtp", "EHLO x\r\n", "AUTH PLAIN " + self._kept(_b64(f"\0joe\0{self.new()}")))
        self.send("ftp", "USER joe\r\n", f"PASS {self.new()}\r\n")
        self.send("pop", "USER joe\r\n", f"PASS {self.new()}\r\n")
        self.send("imap", f"a1 LOGIN joe {self.new()}\r\n")
        self.send("imap", f'a1 LOGIN "joe" "{self.new()}"\r\n')
        self.send("imap", "a1 AUTHENTICATE PLAIN\r\n", self._kept(_b64(f"\0joe\0{self.new()}")))
        self.send("redis", f"*2\r\n$4\r\nAUTH\r\n$10\r\n{self.new()}\r\n")
        self.send("redis", f"*3\r\n$4\r\nAUTH\r\n$3\r\njoe\r\n$10\r\n{self.new()}\r\n")
        self.send("redis", f"*5\r\n$5\r\nHELLO\r\n$1\r\n3\r\n$4\r\nAUTH\r\n$3\r\njoe\r\n$10\r\n{self.new()}\r\n")
        self.send("redis", f"AUTH {self.new()}\r\n")
        self.send("redis", f"*4\r\n$6\r\nCONFIG\r\n$3\r\nSET\r\n$11\r\nrequirepass\r\n$10\r\n{self.new()}\r\n")
        for sql in ("SET PASSWORD FOR joe = '{}'", "CREATE USER joe IDENTIFIED BY '{}'", "ALTER ROLE joe PASSWORD '{}'",
                    "ALTER USER joe IDENTIFIED WITH x BY '{}'", "UPDATE users SET password='{}' WHERE id=1"):  # fmt: skip
            text = sql.format(self.new()).encode() + b"\0"
            self.send(
                "pg", b"Q" + _lv(text, 4).replace(len(text).to_bytes(4, "big"), (len(text) + 4).to_bytes(4, "big"), 1)
            )

    def _kept(self, text: str) -> str:
        self.secrets.append(text)
        return text + "\r\n"

    def _binary_logins(self) -> None:
        password = self.new().encode()
        self.send("pg", b"p" + (len(password) + 5).to_bytes(4, "big") + password + b"\0")
        clear = self.new().encode() + b"\0"
        self.send("mysql", len(clear).to_bytes(3, "little") + b"\x03" + clear)
        plain = b"\0joe\0" + self.new().encode()
        method = b"\x00\x0a\x00\x0b\0\0\0\0\x05PLAIN" + _lv(plain, 4) + b"\x05en_US"
        self.send("amqp", b"AMQP\0\0\x09\x01", b"\x01\0\0" + _lv(method, 4) + b"\xce")
        bind = b"\x02\x01\x03\x04\x06cn=joe\x80\x0a" + self.new().encode()
        request = b"\x02\x01\x01\x60" + bytes([len(bind)]) + bind
        self.send("ldap", b"\x30" + bytes([len(request)]) + request)
        connect = b"\x00\x04MQTT\x04\xc2\x00\x3c" + _lv(b"me") + _lv(b"joe") + _lv(self.new().encode())
        self.send("mqtt", b"\x10" + bytes([len(connect)]) + connect)
        plain = b"\0joe\0" + self.new().encode()
        self.send(
            "mongo",
            b"\x40\0\0\0\x01\0\0\0\0\0\0\0\xdd\x07\0\0payload\0" + len(plain).to_bytes(4, "little") + b"\0" + plain,
        )
        self.send("mongo", b"\x40\0\0\0\x01\0\0\0createUser\0\x02pwd\0\x0b\0\0\0" + self.new().encode() + b"\0\0")
        self.send("kafka", b"\0\0\0\x30\0\x24\0\0\0\0\0\x01\0\x01x" + _lv(b"\0joe\0" + self.new().encode(), 4))
        self.send("socks", b"\x05\x01\x02", b"\x01\x03joe" + bytes([10]) + self.new().encode())

    def _programs(self) -> None:
        for words in (
            "curl -u joe:{} http://x.example", "curl -ujoe:{} http://x.example", "mysql -u root -p{} db", "mysqldump --password={} db",
            "tool --password {} x", "tool --api-key={} x", "redis-cli -a {} ping", "ldapsearch -x -w {} -b dc=x", "sshpass -p {} ssh x",
            "wget --http-password={} http://x.example", "curl -H X-Api-Key:{} http://x.example", "psql postgres://joe:{}@db.example/x",
            "docker login -u joe -p {} reg.example", "mosquitto_pub -u joe -P {} -t a", "env PGPASSWORD={} psql",
        ):  # fmt: skip
            self.argv.append(words.format(self.new()).split(" "))
        self.argv.append(
            ["sh", "-c", f"PGPASSWORD={self.new()} psql -h db.example && curl -u joe:{self.new()} http://x.example"]
        )


PLANTS = Plants()


def escaped(data: bytes) -> str:
    """As strace prints bytes."""
    named = {9: "\\t", 10: "\\n", 13: "\\r", 34: '\\"', 92: "\\\\"}
    out: list[str] = []
    for at, byte in enumerate(data):
        digit = at + 1 < len(data) and 48 <= data[at + 1] <= 57
        out.append(named.get(byte) or (chr(byte) if 32 <= byte < 127 else f"\\{byte:03o}" if digit else f"\\{byte:o}"))
    return "".join(out)


def planted(failing: int = -1, plants: Plants = PLANTS) -> str:
    """The log; the connection of that number is answered by what repeats its secret, and is then reset."""
    lines: list[str] = []

    def call(text: str) -> None:
        lines.append(f"9 {1700000100 + len(lines) * 0.01:.6f} {text} <0.000100>")

    for words in [["job"], *plants.argv]:
        call(f'execve("/usr/bin/{words[0]}", {json.dumps(words)}, 0x7ff /* 6 vars */) = 0')
    for at, (protocol, calls) in enumerate(plants.sent):
        call("socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 4")
        port = PORTS.get(protocol, 80)
        call(f'connect(4, {{sa_family=AF_INET, sin_port=htons({port}), sin_addr=inet_addr("192.0.2.20")}}, 16) = 0')
        for data in calls:
            call(f'sendto(4, "{escaped(data)}", {len(data)}, 0, NULL, 0) = {len(data)}')
        if at == failing:
            said = next((s for s in plants.secrets if s.encode() in calls[-1]), "x")
            answer = f"535 the password {said} is wrong\r\n".encode()
            call(f'recvfrom(4, "{escaped(answer)}", 999, 0, NULL, NULL) = {len(answer)}')
            call(f'write(2, "job: {said} was refused\\n", {len(said) + 18}) = {len(said) + 18}')
            call("recvfrom(4, 0x7ffe, 999, 0, NULL, NULL) = -1 ECONNRESET (Connection reset by peer)")
        call("close(4) = 0")
    return "\n".join([*lines, f"9 {1700000999:.6f} exit_group(1) = ?", f"9 {1700000999:.6f} +++ exited with 1 +++", ""])
