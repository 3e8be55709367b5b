"""The few functions of libbpf that loading one object, filling its maps and reading its ring buffer take (ctypes)."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
from collections.abc import Sequence

NAMES = ("libbpf.so.1",)  # the interface of libbpf 1.0: errors are -errno or NULL with errno
_PRINT = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
_SAMPLE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
_FUNCTIONS: dict[str, tuple[type | None, tuple[type, ...]]] = {
    "bpf_map__fd": (ctypes.c_int, (ctypes.c_void_p,)),
    "bpf_map__set_max_entries": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_uint32)),
    "bpf_map_delete_elem": (ctypes.c_int, (ctypes.c_int, ctypes.c_void_p)),
    "bpf_map_lookup_elem": (ctypes.c_int, (ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)),
    "bpf_map_update_elem": (ctypes.c_int, (ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint64)),
    "bpf_object__close": (None, (ctypes.c_void_p,)),
    "bpf_object__find_map_by_name": (ctypes.c_void_p, (ctypes.c_void_p, ctypes.c_char_p)),
    "bpf_object__load": (ctypes.c_int, (ctypes.c_void_p,)),
    "bpf_object__next_program": (ctypes.c_void_p, (ctypes.c_void_p, ctypes.c_void_p)),
    "bpf_object__open_mem": (ctypes.c_void_p, (ctypes.c_char_p, ctypes.c_size_t, ctypes.c_void_p)),
    "bpf_object__find_program_by_name": (ctypes.c_void_p, (ctypes.c_void_p, ctypes.c_char_p)),
    "bpf_program__attach": (ctypes.c_void_p, (ctypes.c_void_p,)),
    "bpf_program__autoload": (ctypes.c_bool, (ctypes.c_void_p,)),
    "bpf_program__set_autoload": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_bool)),
    "libbpf_num_possible_cpus": (ctypes.c_int, ()),
    "libbpf_set_print": (ctypes.c_void_p, (_PRINT,)),
    "ring_buffer__consume": (ctypes.c_int, (ctypes.c_void_p,)),
    "ring_buffer__new": (ctypes.c_void_p, (ctypes.c_int, _SAMPLE, ctypes.c_void_p, ctypes.c_void_p)),
    "ring_buffer__poll": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_int)),
}


def find() -> ctypes.CDLL | None:
    """libbpf; None where it is not installed, or older than 1.0."""
    for name in NAMES:
        with contextlib.suppress(OSError, AttributeError):
            library = ctypes.CDLL(name, use_errno=True)
            for function, (result, arguments) in _FUNCTIONS.items():
                getattr(library, function).restype = result
                getattr(library, function).argtypes = arguments
            return library
    return None


class BpfError(Exception):
    """The kernel or libbpf refused; `errno` says why, the text what was tried."""

    def __init__(self, number: int, what: str) -> None:
        super().__init__(f"{what}: {os.strerror(number)}")
        self.errno = number


class Object:
    """One loaded BPF object. Its programs run until `close`, or the end of this process, whichever comes first."""

    def __init__(
        self, library: ctypes.CDLL, image: bytes, entries: dict[str, int], without: Sequence[str] = ()
    ) -> None:
        """Load it; `entries` sets the sizes of maps, programs `without` are left out.

        Raises:
            BpfError: no permission (EPERM), a kernel without what it needs (EINVAL, ENOENT, ENOTSUP), no memory.
        """
        self._library = library
        self._quiet = _PRINT(lambda _level, _format, _arguments: 0)  # it would write to standard error
        library.libbpf_set_print(self._quiet)
        self._object = library.bpf_object__open_mem(image, len(image), None)
        if not self._object:
            raise BpfError(ctypes.get_errno() or errno.EINVAL, "the BPF object cannot be read")
        for name, count in entries.items():
            library.bpf_map__set_max_entries(self._map(name), count)
        for name in without:
            found = library.bpf_object__find_program_by_name(self._object, name.encode())
            library.bpf_program__set_autoload(found, False)
        result = library.bpf_object__load(self._object)
        if result < 0:
            self.close()
            raise BpfError(-result, "the kernel does not take the BPF programs")

    def close(self) -> None:
        """Free what was loaded; attached programs stop."""
        self._library.bpf_object__close(self._object)

    def attach(self) -> None:
        """Let all programs run.

        Raises:
            BpfError: one of them cannot be attached.
        """
        program = self._library.bpf_object__next_program(self._object, None)
        while program:
            loaded = self._library.bpf_program__autoload(program)
            if loaded and not self._library.bpf_program__attach(program):
                raise BpfError(ctypes.get_errno() or errno.EINVAL, "a BPF program cannot be attached")
            program = self._library.bpf_object__next_program(self._object, program)

    def table(self, name: str) -> Table:
        """A map by its name."""
        return Table(self._library, self._library.bpf_map__fd(self._map(name)))

    def _map(self, name: str) -> int:
        found: int = self._library.bpf_object__find_map_by_name(self._object, name.encode())
        return found


class Table:
    """A BPF map; keys and values are bytes."""

    def __init__(self, library: ctypes.CDLL, fd: int) -> None:
        self._library = library
        self.fd = fd

    def put(self, key: bytes, value: bytes) -> None:
        """Set one entry.

        Raises:
            BpfError: it is full.
        """
        result = self._library.bpf_map_update_elem(self.fd, key, value, 0)
        if result < 0:
            raise BpfError(-result, "a BPF map")

    def get(self, key: bytes, size: int) -> bytes | None:
        """The entry of `size` bytes; None when there is none."""
        value = ctypes.create_string_buffer(size)
        return None if self._library.bpf_map_lookup_elem(self.fd, key, value) < 0 else value.raw

    def remove(self, key: bytes) -> None:
        """Nothing happens when it is not there."""
        self._library.bpf_map_delete_elem(self.fd, key)


AT_ONCE = 20_000  # records


class Ring:
    """A ring buffer."""

    def __init__(self, library: ctypes.CDLL, table: Table) -> None:
        self._library = library
        self._records: list[bytes] = []
        string_at = ctypes.string_at
        records = self._records

        def sample(_context: int, data: int, size: int) -> int:  # what is raised in here would get lost
            records.append(string_at(data, size))
            return -errno.EAGAIN if len(records) >= AT_ONCE else 0

        self._sample = _SAMPLE(sample)
        self._ring = library.ring_buffer__new(table.fd, self._sample, None, None)
        if not self._ring:
            raise BpfError(ctypes.get_errno() or errno.ENOMEM, "the ring buffer cannot be read")

    def read(self, milliseconds: int) -> list[bytes]:
        """Copies of what there is (`AT_ONCE` at most, then there is more), in the order in which it was written, when the
        kernel wakes us or the time is over."""
        if self._library.ring_buffer__poll(self._ring, milliseconds) == 0:
            self._library.ring_buffer__consume(self._ring)
        found = self._records[:]
        self._records.clear()
        return found
