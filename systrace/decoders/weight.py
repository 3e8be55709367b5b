"""What a kept message costs in memory, and how it is made lighter: its body's sample, and its calls' arguments."""

from __future__ import annotations

from dataclasses import replace

from systrace.messages.http import HttpMessage, HttpResponse
from systrace.messages.replies import Reply
from systrace.model import Event, Message, Record, Transfer

LARGE = 4 << 10  # bytes; messages that cost less are left as they are
_ARGUMENTS = 512  # bytes of a call's arguments that a light message keeps


def weigh(message: Message) -> int:
    """About how many bytes it costs; equal until it is lightened."""
    weight = 0
    for event in message.events:
        weight += len(event.record.args)
    return weight + message.body.held if isinstance(message, HttpMessage) and message.body is not None else weight


def lighten(message: Message, limit: int) -> None:
    """Shrink its body's sample to `limit` bytes, and give it copies of its calls without their long payloads.

    What proves a finding stays: line number, times, result and the abridged text of the call.
    """
    if isinstance(message, HttpMessage) and message.body is not None:
        message.body.shrink(max(0, limit - 2 * _ARGUMENTS))
    message.events = [_light(event) for event in message.events]


def discard(message: Message) -> None:
    """Free what a message costs that is kept no more. The calls of one that may be a request stay: its answer shows them."""
    if isinstance(message, HttpMessage) and message.body is not None:
        message.body.shrink(0)
    answer = isinstance(message, HttpResponse | Reply) and message.request is not None
    message.events = [] if answer else [_light(event) for event in message.events]


def _light(event: Event) -> Event:
    if len(event.record.args) <= _ARGUMENTS or not isinstance(event, Transfer):
        return event
    record = replace(event.record, args=event.record.args[:_ARGUMENTS])
    return replace(event, record=record, pieces=_unknown, address=None)


def _unknown(record: Record) -> list[tuple[bytes, int]]:
    """Payload of a call that is no longer kept."""
    return [(b"", max(0, record.retval or 0))]
