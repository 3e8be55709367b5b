"""Sets of ports as intervals: what share of the ports that answers may come to is let through."""

from __future__ import annotations

from collections.abc import Iterable

from systrace.dataclass import dataclass

Interval = tuple[int, int]  # both ends belong to it


@dataclass(frozen=True, slots=True)
class Ports:
    """Disjoint intervals, in order."""

    intervals: tuple[Interval, ...] = ()

    @staticmethod
    def of(intervals: Iterable[Interval]) -> Ports:
        """From intervals that may overlap.

        >>> str(Ports.of([(5, 9), (1, 4), (20, 20)]))
        '1-9, 20'
        """
        merged: list[Interval] = []
        for low, high in sorted(each for each in intervals if each[0] <= each[1]):
            if merged and low <= merged[-1][1] + 1:
                merged[-1] = merged[-1][0], max(high, merged[-1][1])
            else:
                merged.append((low, high))
        return Ports(tuple(merged))

    @property
    def count(self) -> int:
        """How many ports."""
        return sum(high - low + 1 for low, high in self.intervals)

    def common(self, low: int, high: int) -> Ports:
        """Those that lie in an interval."""
        return Ports.of((max(low, a), min(high, b)) for a, b in self.intervals)

    def without(self, low: int, high: int) -> Ports:
        """Those that do not."""
        below = ((a, min(b, low - 1)) for a, b in self.intervals)
        above = ((max(a, high + 1), b) for a, b in self.intervals)
        return Ports.of([*below, *above])

    def plus(self, other: Ports) -> Ports:
        """Those of either."""
        return Ports.of([*self.intervals, *other.intervals])

    def __str__(self) -> str:
        return ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in self.intervals) or "none"


EPHEMERAL = Ports(((32768, 60999),))  # Linux's net.ipv4.ip_local_port_range, unless the host is tuned
NAT_PORTS = Ports(((1024, 65535),))  # of NAT gateways and load balancers (VPC user guide, ephemeral ports)
