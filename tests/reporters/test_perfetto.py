"""`--format perfetto`, read back with Perfetto's own messages."""

from __future__ import annotations

import io
from collections import Counter
from typing import Any

import pytest
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace, TrackEvent

from systrace.model import Input, Keep
from systrace.pipeline import analyze
from systrace.reporters import REPORTERS
from systrace.rules import RULES
from systrace.rules.pages import full_trace

CALLS = [
    'execve("/job", ["./job\\33[2J"], 0x1 /* 3 vars */) = 0 <0.001>',
    "socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 3 <0.000010>",
    'connect(3, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("192.0.2.1")}, 16) = 0 <0.250000>',
    'sendto(3, "GET / HTTP/1.1\\r\\n\\r\\n", 18, 0, NULL, 0) = 18 <0.000010>',
    'recvfrom(3, "HTTP/1.1 204 No\\r\\n\\r\\n", 99, 0, NULL, NULL) = 19 <0.500000>',
    'sendto(3, "GET / HTTP/1.1\\r\\n\\r\\n", 18, 0, NULL, 0) = 18 <0.000010>',
    "recvfrom(3, 0x7ffc, 99, 0, NULL, NULL) = -1 ECONNRESET (Connection reset by peer) <3.000000>",
    "--- SIGTERM {si_signo=SIGTERM, si_code=SI_USER, si_pid=1, si_uid=0} ---",
    "close(3) = 0 <0.1>",
    "+++ exited with 3 +++",
]
JOB = "".join(f"900 {1_700_000_100 + 5 * at}.000000 {call}\n" for at, call in enumerate(CALLS))


def packets(trace: str) -> list[Any]:
    analysis = analyze([Input("job.strace", trace.encode().splitlines(keepends=True))], keep=Keep(activity=True))
    out = io.BytesIO()
    REPORTERS["perfetto"].write(analysis, out)
    return list(Trace.FromString(out.getvalue()).packet)


@pytest.mark.parametrize("cause", list(RULES))
def test_slices_are_in_order_and_closed(cause: str) -> None:
    depth: Counter[int] = Counter()
    latest: Counter[int] = Counter()
    known: set[int] = set()
    for packet in packets(full_trace(RULES[cause].fires)):
        assert packet.trusted_packet_sequence_id == 1 or packet.HasField("clock_snapshot")
        if packet.HasField("track_descriptor"):
            assert packet.track_descriptor.parent_uuid in {0, *known}
            known.add(packet.track_descriptor.uuid)
        elif packet.HasField("track_event"):
            event = packet.track_event
            assert event.track_uuid in known
            depth[event.track_uuid] += {TrackEvent.TYPE_SLICE_BEGIN: 1, TrackEvent.TYPE_SLICE_END: -1}.get(
                event.type, 0
            )
            assert 0 <= depth[event.track_uuid] <= 1
            if event.type != TrackEvent.TYPE_INSTANT:
                assert packet.timestamp >= latest[event.track_uuid]
                latest[event.track_uuid] = packet.timestamp
    assert not +depth


def test_a_job_and_its_connection() -> None:
    found = packets(JOB)
    tracks = {
        packet.track_descriptor.uuid: packet.track_descriptor for packet in found if packet.HasField("track_descriptor")
    }
    [process] = [track for track in tracks.values() if track.HasField("process")]
    [thread] = [track for track in tracks.values() if track.HasField("thread")]
    [connection] = [track for track in tracks.values() if track.name.startswith("S1 ")]
    assert (process.process.pid, thread.thread.tid, connection.parent_uuid) == (900, 900, process.uuid)
    assert "\x1b" not in "".join([*process.process.cmdline, process.process.process_name])
    events = [packet for packet in found if packet.HasField("track_event")]

    def named(track: int, kind: int) -> list[str]:
        return [e.track_event.name for e in events if e.track_event.track_uuid == track and e.track_event.type == kind]

    assert named(thread.uuid, TrackEvent.TYPE_SLICE_BEGIN)[:3] == ["socket", "connect", "sendto"]
    assert named(connection.uuid, TrackEvent.TYPE_SLICE_BEGIN) == [
        "connect", "silence", "sent", "waiting", "received", "silence", "sent", "waiting",
    ]  # fmt: skip
    assert "ECONNRESET" in named(connection.uuid, TrackEvent.TYPE_INSTANT)
    assert "SIGTERM" in named(process.uuid, TrackEvent.TYPE_INSTANT)
    started = [e.track_event.flow_ids[0] for e in events if e.track_event.flow_ids]
    ended = [e.track_event.terminating_flow_ids[0] for e in events if e.track_event.terminating_flow_ids]
    assert (started, ended) == ([1, 2], [1])
    [sent] = [track for track in tracks.values() if track.name == "bytes sent"]
    assert [e.track_event.counter_value for e in events if e.track_event.track_uuid == sent.uuid] == [18, 36]
    assert [clock.clock_id for clock in found[0].clock_snapshot.clocks] == [6, 1]


def test_a_log_without_a_clock_has_tracks_only() -> None:
    found = packets("".join(f"900 {call}\n" for call in CALLS))
    assert any(packet.HasField("track_descriptor") for packet in found)
    assert [packet for packet in found if packet.HasField("track_event")] == []
