"""A thin binding of libbpf.so.1: open, load, find, attach. Nothing here knows what the programs are for.

Invariants: every call that can fail raises `BpfError` with libbpf's own words; every handle is closed by `Object.close`.
The two things that Debian's libbpf 1.1 lacks are done by the raw bpf(2) call: uprobe_multi links (kernel 6.6) and
cgroup links (libbpf has those, but only from a program handle and without a path check).
"""

from __future__ import annotations

import ctypes as C
import errno
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from leeward.model.errors import HostError

SYS_BPF = 321  # x86-64, arch/x86/entry/syscalls/syscall_64.tbl
BPF_MAP_LOOKUP_BATCH = 24  # include/uapi/linux/bpf.h
BPF_LINK_CREATE = 28
BPF_TRACE_UPROBE_MULTI = 48
BPF_F_UPROBE_MULTI_RETURN = 1
_AT_ONCE = 32


class BpfError(HostError):
    """libbpf or the kernel refused. `number` is the errno."""

    def __init__(self, what: str, number: int) -> None:
        super().__init__(f"{what}: {os.strerror(number)}")
        self.number = number


class _UprobeOpts(C.Structure):
    """struct bpf_uprobe_opts, libbpf.h."""

    _fields_ = (
        ("sz", C.c_size_t),
        ("ref_ctr_offset", C.c_size_t),
        ("bpf_cookie", C.c_uint64),
        ("retprobe", C.c_bool),
        ("func_name", C.c_char_p),
    )


_PRINT = C.CFUNCTYPE(C.c_int, C.c_int, C.c_char_p, C.c_void_p)


def _library() -> C.CDLL:
    try:
        lib = C.CDLL("libbpf.so.1", use_errno=True)
    except OSError as error:
        raise HostError("libbpf.so.1 is missing: install it (Debian, Ubuntu: apt-get install libbpf1)") from error
    p, i, s = C.c_void_p, C.c_int, C.c_char_p
    signatures: dict[str, tuple[object, list[object]]] = {
        "bpf_object__open_file": (p, [s, p]),
        "bpf_object__load": (i, [p]),
        "bpf_object__close": (None, [p]),
        "bpf_object__find_program_by_name": (p, [p, s]),
        "bpf_object__find_map_by_name": (p, [p, s]),
        "bpf_program__fd": (i, [p]),
        "bpf_program__attach": (p, [p]),
        "bpf_program__attach_tracepoint": (p, [p, s, s]),
        "bpf_program__attach_cgroup": (p, [p, i]),
        "bpf_program__attach_uprobe_opts": (p, [p, i, s, C.c_size_t, p]),
        "bpf_program__set_expected_attach_type": (i, [p, i]),
        "bpf_link__destroy": (i, [p]),
        "bpf_link__fd": (i, [p]),
        "bpf_iter_create": (i, [i]),
        "bpf_map__fd": (i, [p]),
        "bpf_map__set_max_entries": (i, [p, C.c_uint32]),
        "bpf_map__max_entries": (C.c_uint32, [p]),
        "bpf_map_update_elem": (i, [i, p, p, C.c_uint64]),
        "bpf_map_lookup_elem": (i, [i, p, p]),
        "bpf_map_delete_elem": (i, [i, p]),
        "bpf_map_get_next_key": (i, [i, p, p]),
        "bpf_map_lookup_batch": (i, [i, p, p, p, p, p, p]),
        "libbpf_set_print": (p, [p]),
        "libbpf_num_possible_cpus": (i, []),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    return lib


class Map:
    """A map by its file descriptor; keys and values are bytes of the map's sizes."""

    def __init__(self, lib: C.CDLL, fd: int, name: str) -> None:
        self._lib, self.fd, self.name = lib, fd, name

    def __setitem__(self, key: bytes, value: bytes) -> None:
        if self._lib.bpf_map_update_elem(self.fd, key, value, 0):
            raise BpfError(f"map {self.name}: update", C.get_errno())

    def get(self, key: bytes, size: int) -> bytes | None:
        """The value under `key`, `size` bytes of it (a per-CPU map: of all CPUs); None if there is none."""
        value = C.create_string_buffer(size)
        return value.raw if self._lib.bpf_map_lookup_elem(self.fd, key, value) == 0 else None

    def delete(self, key: bytes) -> bool:
        return bool(self._lib.bpf_map_delete_elem(self.fd, key) == 0)

    def items(self, key_size: int, value_size: int, most: int) -> list[tuple[bytes, bytes]]:
        """A snapshot of up to `most` entries, by BPF_MAP_LOOKUP_BATCH (kernel 5.6)."""
        step = 4096
        keys, values = C.create_string_buffer(key_size * step), C.create_string_buffer(value_size * step)
        cursor = C.create_string_buffer(max(key_size, 8))
        start: C.Array[C.c_char] | None = None
        found: list[tuple[bytes, bytes]] = []
        while len(found) < most:
            n = C.c_uint32(step)
            failed = self._lib.bpf_map_lookup_batch(self.fd, start, cursor, keys, values, C.byref(n), None)
            number = C.get_errno() if failed else 0
            if failed and number != errno.ENOENT:  # ENOENT: these were the last
                raise BpfError(f"map {self.name}: read", number)
            raw_keys, raw_values = keys.raw, values.raw
            for at in range(n.value):
                key = raw_keys[at * key_size : (at + 1) * key_size]
                found.append((key, raw_values[at * value_size : (at + 1) * value_size]))
            if failed:
                break
            start = cursor
        return found


class Object:
    """A BPF object file, loaded into the kernel."""

    def __init__(self, path: str, sizes: dict[str, int] | None = None, multi: Sequence[str] = ()) -> None:
        """Loads all programs of `path`; `sizes` overrides maps' max_entries. Those named in `multi` are for
        `attach_uprobe_multi` only, all others for the other ways to attach."""
        self._lib = _library()
        self._links: list[int] = []
        self._fds: list[int] = []
        self.messages: list[str] = []
        self._print = _PRINT(self._keep)
        self._lib.libbpf_set_print(C.cast(self._print, C.c_void_p))
        self._object = self._lib.bpf_object__open_file(os.fsencode(path), None)
        if not self._object:
            raise BpfError(f"{path}: cannot be opened as a BPF object", C.get_errno())
        for name in multi:
            self._lib.bpf_program__set_expected_attach_type(self._program(name), BPF_TRACE_UPROBE_MULTI)
        for name, entries in (sizes or {}).items():
            handle = self._lib.bpf_object__find_map_by_name(self._object, name.encode())
            self._lib.bpf_map__set_max_entries(handle, entries)
        if self._lib.bpf_object__load(self._object):
            number = C.get_errno()
            self.close()
            raise BpfError("the kernel did not take the BPF programs", number)

    def _keep(self, level: int, form: bytes, _args: int) -> int:
        if level <= 1 and len(self.messages) < 64:
            self.messages.append(form.decode(errors="replace").strip())
        return 0

    def _program(self, name: str) -> int:
        handle = self._lib.bpf_object__find_program_by_name(self._object, name.encode())
        if not handle:
            raise BpfError(f"no BPF program {name}", errno.ENOENT)
        return int(handle)

    def program_fd(self, name: str) -> int:
        return int(self._lib.bpf_program__fd(self._program(name)))

    def map(self, name: str) -> Map:
        handle = self._lib.bpf_object__find_map_by_name(self._object, name.encode())
        if not handle:
            raise BpfError(f"no BPF map {name}", errno.ENOENT)
        return Map(self._lib, self._lib.bpf_map__fd(handle), name)

    def map_entries(self, name: str) -> int:
        return int(self._lib.bpf_map__max_entries(self._lib.bpf_object__find_map_by_name(self._object, name.encode())))

    def _hold(self, link: int | None, what: str) -> None:
        if not link:
            raise BpfError(what, C.get_errno())
        self._links.append(link)

    def attach(self, name: str) -> None:
        """Attaches a program where its section name says (tracepoint, tp_btf)."""
        self._hold(self._lib.bpf_program__attach(self._program(name)), f"attach {name}")

    def attach_tracepoint(self, name: str, category: str, event: str) -> None:
        """Attaches a program to one more tracepoint."""
        link = self._lib.bpf_program__attach_tracepoint(self._program(name), category.encode(), event.encode())
        self._hold(link, f"attach {name} to {event}")

    def iterate(self, name: str) -> bytes:
        """Runs an iterator program over all there is; returns what it wrote, 1 MiB at most."""
        link = self._lib.bpf_program__attach(self._program(name))
        if not link:
            raise BpfError(f"attach {name}", C.get_errno())
        try:
            fd = self._lib.bpf_iter_create(self._lib.bpf_link__fd(link))
            if fd < 0:
                raise BpfError(f"iterate {name}", C.get_errno())
            with open(fd, "rb") as stream:
                return stream.read(1 << 20)
        finally:
            self._lib.bpf_link__destroy(link)

    def attach_cgroup(self, name: str, cgroup_fd: int) -> None:
        self._hold(self._lib.bpf_program__attach_cgroup(self._program(name), cgroup_fd), f"attach {name} to cgroup")

    def attach_uprobe(
        self, name: str, path: str, offset: int, *, returns: bool, cookie: int, pid: int = -1
    ) -> Callable[[], None]:
        """One uprobe for all processes that map `path`, or for one; `offset` in the file. Returns what detaches it."""
        opts = _UprobeOpts(C.sizeof(_UprobeOpts), 0, cookie, returns, None)
        link = self._lib.bpf_program__attach_uprobe_opts(
            self._program(name), pid, os.fsencode(path), offset, C.byref(opts)
        )
        self._hold(link, f"uprobe {name} at {path}+{offset:#x}")

        def detach() -> None:
            if link in self._links:
                self._links.remove(link)
                self._lib.bpf_link__destroy(link)

        return detach

    def attach_uprobe_multi(
        self, name: str, path: str, places: Sequence[tuple[int, int]], *, returns: bool, pid: int = 0
    ) -> Callable[[], None]:
        """The same for several (offset, cookie) of one file in one link (kernel 6.6; 13 ms for 100 where links of one take 8 ms
        each)."""
        offsets = [offset for offset, _ in places]
        at = (C.c_uint64 * len(offsets))(*offsets)
        cookies = (C.c_uint64 * len(offsets))(*(cookie for _, cookie in places))
        text = C.create_string_buffer(os.fsencode(path))
        # union bpf_attr, link_create.uprobe_multi (include/uapi/linux/bpf.h, 6.6)
        attr = C.create_string_buffer(128)
        C.memmove(attr, (C.c_uint32 * 4)(self.program_fd(name), 0, BPF_TRACE_UPROBE_MULTI, 0), 16)
        pointers = (C.c_uint64 * 4)(C.addressof(text), C.addressof(at), 0, C.addressof(cookies))
        C.memmove(C.addressof(attr) + 16, pointers, 32)
        flags = BPF_F_UPROBE_MULTI_RETURN if returns else 0
        C.memmove(C.addressof(attr) + 48, (C.c_uint32 * 3)(len(offsets), flags, pid), 12)
        libc = C.CDLL(None, use_errno=True)
        libc.syscall.restype = C.c_long
        fd = libc.syscall(SYS_BPF, BPF_LINK_CREATE, attr, C.c_uint(64))
        if fd < 0:
            raise BpfError(f"uprobes {name} at {path}", C.get_errno())
        self._fds.append(fd)

        def detach() -> None:
            if fd in self._fds:
                self._fds.remove(fd)
                os.close(fd)

        return detach

    def has_uprobe_multi(self, name: str) -> bool:
        """Does the kernel know uprobe_multi links? Asked with a file that does not exist: it must miss the file."""
        try:
            self.attach_uprobe_multi(name, "/nonexistent/file", [(1, 0)], returns=False)
        except BpfError as error:
            return error.number == errno.ENOENT
        return False

    @property
    def cpus(self) -> int:
        return int(self._lib.libbpf_num_possible_cpus())

    def close(self) -> None:
        """Detaches and unloads everything. The kernel waits 70 ms for each link until nobody runs it: for all at once."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            ended = [pool.submit(self._lib.bpf_link__destroy, link) for link in self._links]
            ended += [pool.submit(os.close, fd) for fd in self._fds]
        for end in ended:
            end.result()
        self._links, self._fds = [], []
        if self._object:
            self._lib.bpf_object__close(self._object)
            self._object = None
