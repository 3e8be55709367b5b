from collections.abc import Callable, Iterable, Iterator

from systrace.model import Record
from systrace.parser.calls import Result
from systrace.parser.files import Files
from systrace.parser.irregular import Irregular

class Scanner(Iterator[bytes]):
    """The lines that Python has to read; an empty one where a batch of records is ready before the next of them."""

    ready: list[Record]  # made of the lines before: for the caller to give out, and to clear
    last: bytes  # the line taken last, and its number
    lineno: int
    calls: int  # that needed no Python
    timed: bool  # whether one of them had a duration

    def __new__(
        cls,
        lines: Iterable[bytes],
        keep: Callable[[bytes], str | None],
        known_result: Callable[[bytes], Result | None],
        second_of: Callable[[bytes, str], int],
        note: Callable[[bytes, bytes], bool],
        irregular: Irregular,
        tids: dict[bytes, int],
        telling: frozenset[str],
        record: type[Record],
        source: int,
        most: int,
        files: Files | None,
        /,
    ) -> Scanner: ...
    def __next__(self) -> bytes: ...
    def expect(self, pid: str, clock: str, plain: bool, /) -> None:
        """The columns of lines from now on; not `plain`: these are Python's."""
