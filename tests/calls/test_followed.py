"""What tracers are asked for is what the parser has handlers for: one is data, so that a job's start needn't import it."""

from systrace.calls import FOLLOWED
from systrace.parser.syscalls import SYSCALLS


def test_tracers_are_asked_for_what_the_parser_knows() -> None:
    assert frozenset(SYSCALLS) == FOLLOWED
