"""After how long a silence what stands in the path forgets a connection: the data are in `idle_limits.toml`."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from systrace.dataclass import dataclass
from systrace.errors import UsageError


@dataclass(frozen=True)
class Limit:
    """One product's limit on silence."""

    product: str
    idle_s: float
    after: str  # reset, silent, fin, http
    keepalive: bool  # whether probes count as traffic
    source: str
    users: bool = False  # from the user's own file

    @property
    def unseen(self) -> bool:
        """Nothing tells the client that its connection is forgotten, until it sends."""
        return self.after in ("reset", "silent")


@cache
def known() -> tuple[Limit, ...]:
    """The project's own."""
    return tuple(read(Path(__file__).with_suffix(".toml"), users=False))


def nat_s() -> int:
    """The limit that most hanging jobs meet: AWS's of NAT gateways and Network Load Balancers."""
    return next(int(limit.idle_s) for limit in known() if "NAT gateway" in limit.product and "AWS" in limit.product)


def shortest_s() -> int:
    """The shortest after which a connection is forgotten unseen."""
    return int(min(limit.idle_s for limit in known() if limit.unseen))


def read(path: Path, *, users: bool) -> list[Limit]:
    """A file of limits.

    Raises:
        UsageError: it can't be read, or is not of the catalogue's shape.
    """
    import tomllib

    try:
        items = tomllib.loads(path.read_text("utf-8")).get("limit", [])
        return [
            Limit(
                str(i["product"]), float(i["idle_s"]), str(i.get("after", "silent")), bool(i.get("keepalive", True)),
                str(i.get("source", path.name)), users,
            )
            for i in items
        ]  # fmt: skip
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{path}: no list of limits ([[limit]] with product and idle_s): {error}") from None
