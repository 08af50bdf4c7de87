"""System calls on this kernel: real programs that do each of them, and what the sensor tells; of ordinary ones nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sensor_calls import Watcher, of_calls, of_execs

from leeward.model.raw import Lost, Stream
from leeward.sensor import host

pytestmark = [pytest.mark.kernel, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
NOBODY = 65534


@pytest.fixture(scope="module")
def watcher() -> Iterator[Watcher]:
    made = Watcher()
    try:
        yield made
    finally:
        made.sensor.close()


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder of one user's, which others may enter."""
    made = Path(tempfile.mkdtemp(prefix="lw-calls-"))
    made.chmod(0o755)
    (made / ".ssh").mkdir()
    (made / ".ssh/id_ed25519").write_text("key")
    (made / ".claude/skills/one").mkdir(parents=True)
    try:
        yield made
    finally:
        shutil.rmtree(made)


# -- files -------------------------------------------------------------------------------------------------------------


def test_ordinary_files_are_not_told(watcher: Watcher, home: Path) -> None:
    code = """
os.chdir(sys.argv[1])
for name in ("notes.txt", "config", "token", "settings.json"):
    open(name, "w").write("x"); open(name).read(); os.chmod(name, 0o600); os.rename(name, name + "2"); os.unlink(name + "2")
open("/proc/self/environ").read(); open("/dev/null", "w"); os.listdir(".ssh")
try: open(".ssh/missing")
except FileNotFoundError: pass
"""
    assert watcher.calls(code, str(home)) == []


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("/", "{home}/.ssh/id_ed25519"),
        ("{home}", ".ssh/id_ed25519"),
        ("{home}/.ssh", "./id_ed25519"),
        ("{home}/.claude", "../link"),
    ],
    ids=["absolute", "relative", "in its folder", "a link"],
)
def test_an_opened_file_has_its_real_path(watcher: Watcher, home: Path, folder: str, name: str) -> None:
    (home / "link").symlink_to(home / ".ssh/id_ed25519")
    code = "os.chdir(sys.argv[1]); open(sys.argv[2]).read()"
    (told,) = watcher.calls(code, folder.format(home=home), name.format(home=home))
    assert (told.kind, told.path, told.label, told.number) == ("open", f"{home}/.ssh/id_ed25519", "ssh-key", 0)


def test_what_is_done_to_files(watcher: Watcher, home: Path) -> None:
    code = """
os.chdir(sys.argv[1])
fd = os.open(".claude/skills/one/SKILL.md", os.O_WRONLY | os.O_CREAT, 0o644)
os.fchmod(fd, 0o600)
os.chdir(".claude/skills/one")
os.chmod("SKILL.md", 0o640)
os.rename("SKILL.md", "notes"); os.rename("notes", "SKILL.md")
here = os.open("..", os.O_RDONLY)
os.unlink("one/SKILL.md", dir_fd=here)
"""
    skill, notes = (f"{home}/.claude/skills/one/{name}" for name in ("SKILL.md", "notes"))
    told = watcher.calls(code, str(home))
    assert {t.label for t in told} == {"agent-config"}
    assert [(t.kind, t.path, t.source, t.number) for t in told] == [
        ("open", skill, "", 1),
        ("chmod", skill, "", 0o600),
        ("chmod", skill, "", 0o640),
        ("rename", notes, skill, 0),
        ("rename", skill, notes, 0),
        ("unlink", skill, "", 0),
    ]


def test_reading_what_only_writers_are_told_of(watcher: Watcher, home: Path) -> None:
    (home / ".bashrc").write_text("")
    assert watcher.calls("open(sys.argv[1]).read()", f"{home}/.bashrc") == []
    (told,) = watcher.calls("open(sys.argv[1], 'a')", f"{home}/.bashrc")
    assert (told.label, told.number) == ("persistence", 1)


def test_across_mounts(watcher: Watcher, home: Path) -> None:
    (home / "keys").mkdir()
    (home / "keys/id_rsa").write_text("key")
    code = """
os.chdir(sys.argv[1])
call(272, 0x20000)  # unshare, CLONE_NEWNS
subprocess.run(["mount", "--make-rprivate", "/"], check=True)
subprocess.run(["mount", "--bind", "keys", ".ssh"], check=True)
open(".ssh/id_rsa").read()
"""
    told = watcher.calls(code, str(home))
    assert [(t.path, t.label) for t in told if t.kind == "open"] == [(f"{home}/.ssh/id_rsa", "ssh-key")]
    assert [(t.path, t.source) for t in told if t.kind == "mount"] in (
        [(f"{home}/.ssh", f"{home}/keys")],
        [(f"{home}/.ssh", "")],  # mount(8) by open_tree and move_mount
    )


def test_a_setuid_bit_is_told_of_any_file(watcher: Watcher, home: Path) -> None:
    (home / "tool").write_text("")
    (told,) = watcher.calls("os.chmod(sys.argv[1], 0o4755)", f"{home}/tool")
    assert (told.kind, told.path, told.label, told.number) == ("chmod", f"{home}/tool", "setuid", 0o4755)


def test_others_environment_and_memory(watcher: Watcher) -> None:
    with subprocess.Popen(["sleep", "60"]) as other:
        code = "[open(f'/proc/{p}/{n}', 'rb') for p in (sys.argv[1], 'self') for n in ('environ', 'mem')]"
        told = watcher.calls(code, str(other.pid))
        other.kill()
    assert [(t.label, t.target) for t in told] == [("environ", other.pid), ("memory", other.pid)]


def test_many_opens_do_not_flood(watcher: Watcher, home: Path) -> None:
    for number in range(200):
        (home / f".ssh/id_{number}").write_text("")
    _, events = watcher.run("[open(f'{sys.argv[1]}/.ssh/id_{n}') for n in range(200)]", str(home))
    told = of_calls(events)
    left_out = sum(e.count for e in events if isinstance(e, Lost) and e.kind == "system_calls_skipped")
    assert 64 <= len(told) < 200
    assert len(told) + left_out == 200


def test_the_same_file_again_and_again_is_told_once_a_second(watcher: Watcher, home: Path) -> None:
    told = watcher.calls("[open(sys.argv[1]) for _ in range(1000)]", f"{home}/.ssh/id_ed25519")
    assert len(told) in (1, 2)  # two if a second passed


def test_files_of_the_same_name_are_told_apart(watcher: Watcher, home: Path) -> None:
    code = """
for folder in ("a" * 60 + "/b", "a" * 60 + "/c"):
    os.makedirs(f"{sys.argv[1]}/{folder}")
    os.chdir(f"{sys.argv[1]}/{folder}")
    open("AGENTS.md", "w"); os.chmod("AGENTS.md", 0o600); os.unlink(f"{sys.argv[1]}/{folder}/AGENTS.md")
"""
    told = watcher.calls(code, str(home))
    assert [(t.kind, Path(t.path).parent.name) for t in told] == [
        (kind, folder) for folder in "bc" for kind in ("open", "chmod", "unlink")
    ]


def test_a_runtimes_socket(watcher: Watcher, home: Path) -> None:
    code = """
path = sys.argv[1] + "/docker.sock"
server = socket.socket(socket.AF_UNIX); server.bind(path); server.listen()
socket.socket(socket.AF_UNIX).connect(path)
"""
    (told,) = watcher.calls(code, str(home))
    assert (told.kind, told.path, told.label) == ("open", f"{home}/docker.sock", "runtime-socket")


# -- rights ------------------------------------------------------------------------------------------------------------


def test_a_setuid_program(watcher: Watcher, home: Path) -> None:
    program = home / "true"
    shutil.copy("/bin/true", program)
    program.chmod(0o4755)
    code = "os.setgid(65534); os.setuid(65534); os.execv(sys.argv[1], ['true'])"
    pid, events = watcher.run(code, str(program))
    last = of_execs(events)[-1]
    assert (last.uid, last.euid, last.setuid) == (NOBODY, 0, True)
    group, user, gained = [e for e in of_calls(events) if e.kind == "identity"]
    assert [e.pid for e in (group, user, gained)] == [pid] * 3
    assert (group.before[:3], group.after[:3], group.label) == ((0, 0, 0), (0, 0, NOBODY), "call")
    assert (user.before[:3], user.after) == ((0, 0, NOBODY), (NOBODY, NOBODY, NOBODY, 0))
    assert (gained.before[:2], gained.after[:2], gained.label) == ((NOBODY, NOBODY), (NOBODY, 0), "exec")
    assert gained.after[3] > 0


def test_ordinary_programs_gain_nothing(watcher: Watcher) -> None:
    _, events = watcher.run("subprocess.run(['true']); os.setuid(os.getuid())")
    assert [e for e in of_calls(events) if e.kind == "identity"] == []
    assert {(e.euid, e.setuid, e.origin) for e in of_execs(events)} == {(0, False, "")}


def test_a_user_namespace_gives_capabilities(watcher: Watcher) -> None:
    told = watcher.calls("os.setgid(65534); os.setuid(65534); call(272, 0x10000000)")
    namespace, identity = told[-2:]
    assert (namespace.kind, namespace.label, namespace.number) == ("namespace", "unshare", 0x10000000)
    assert (identity.kind, identity.label, identity.before[3]) == ("identity", "user-namespace", 0)
    assert identity.after[3] > 0


def test_a_child_in_a_user_namespace(watcher: Watcher) -> None:
    code = """
flags = 0x10000000 | 17  # CLONE_NEWUSER, SIGCHLD
pid = call(56, flags, 0, 0, 0, 0)
if not pid: os._exit(0)
os.waitpid(pid, 0)
"""
    pid, events = watcher.run(code)
    (told,) = of_calls(events)
    assert (told.kind, told.label, told.number) == ("namespace", "clone", 0x10000000)
    assert told.pid != pid


def test_entering_the_hosts_namespace(watcher: Watcher) -> None:
    code = "call(272, 0x4000000); fd = os.open(sys.argv[1], os.O_RDONLY); call(308, fd, 0)"
    left, entered = watcher.calls(code, f"/proc/{os.getpid()}/ns/uts")
    inode = os.stat("/proc/self/ns/uts").st_ino
    assert (left.label, left.number, left.path) == ("unshare", 0x4000000, "")
    assert (entered.label, entered.number, entered.path) == ("setns", 0x4000000, "host")
    assert entered.source == f"uts:[{inode}]"


# -- other processes ---------------------------------------------------------------------------------------------------


def test_a_traced_child(watcher: Watcher) -> None:
    code = """
pid = os.fork()
if not pid: time.sleep(30); os._exit(0)
must(libc.ptrace(16, pid, 0, 0))  # PTRACE_ATTACH
os.waitpid(pid, 0)
word = ctypes.c_long(1)
address = ctypes.addressof(word)
must(libc.ptrace(5, pid, ctypes.c_void_p(address), ctypes.c_long(7)))  # PTRACE_POKEDATA
must(libc.ptrace(5, pid, ctypes.c_void_p(address), ctypes.c_long(8)))
class Vector(ctypes.Structure): _fields_ = [("base", ctypes.c_void_p), ("len", ctypes.c_size_t)]
vector = Vector(address, 8)
must(libc.process_vm_writev(pid, ctypes.byref(vector), 1, ctypes.byref(vector), 1, 0))
os.kill(pid, 9)
"""
    pid, events = watcher.run(code)
    told = of_calls(events)
    assert [(t.kind, t.number) for t in told] == [("ptrace", 16), ("ptrace", 5), ("vm-write", 0)]
    assert len({t.target for t in told}) == 1
    assert told[0].target not in (0, pid)


def test_within_a_pid_namespace_the_target_is_known_too(watcher: Watcher) -> None:
    code = """
call(272, 0x20000000)  # unshare, CLONE_NEWPID
init = os.fork()
if not init:
    pid = os.fork()
    if not pid: time.sleep(30); os._exit(0)
    assert pid == 2, pid
    must(libc.ptrace(16, pid, 0, 0))
    os.waitpid(pid, 0)
    class Vector(ctypes.Structure): _fields_ = [("base", ctypes.c_void_p), ("len", ctypes.c_size_t)]
    word = ctypes.c_long(1)
    vector = Vector(ctypes.addressof(word), 8)
    must(libc.process_vm_writev(pid, ctypes.byref(vector), 1, ctypes.byref(vector), 1, 0))
    time.sleep(0.5)  # the sensor looks the number up in /proc
    os._exit(0)
os.waitpid(init, 0)
"""
    told = [t for t in watcher.calls(code) if t.kind in ("ptrace", "vm-write")]
    assert [t.kind for t in told] == ["ptrace", "vm-write"]
    assert told[0].target == told[1].target > 2


# -- descriptors -------------------------------------------------------------------------------------------------------


def test_a_standard_stream_becomes_a_socket(watcher: Watcher) -> None:
    code = """
import fcntl
server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname())
taken, _ = server.accept()
pipe, pair = os.pipe(), socket.socketpair()
os.dup2(client.fileno(), 0); os.dup2(pipe[1], 1)
os.close(2); assert fcntl.fcntl(pair[0], fcntl.F_DUPFD, 0) == 2
os.dup2(pair[0].fileno(), 40); os.set_inheritable(pair[1].fileno(), True)
inode = lambda s: os.fstat(s).st_ino
os.execv("/bin/true", ["true", str(inode(pipe[1])), str(inode(pair[0].fileno())), str(inode(pair[1].fileno()))])
"""
    _, events = watcher.run(code)
    told, last = of_calls(events), of_execs(events)[-1]
    pipe, one, other = (int(word) for word in last.argv[1:])
    sock = last.streams[0].number
    assert sock > 0
    assert last.streams == (Stream("socket", sock), Stream("pipe", pipe), Stream("unix", one, other))
    assert [(t.kind, t.number, t.stream) for t in told] == [("stream", n, s) for n, s in enumerate(last.streams)]


def test_an_accepted_socket_has_its_number_too(watcher: Watcher) -> None:
    code = """
server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname())
taken, _ = server.accept()
subprocess.run(["true"], stdin=taken, stdout=client)
"""
    _, events = watcher.run(code)
    streams = of_execs(events)[-1].streams
    assert [s.kind for s in streams[:2]] == ["socket", "socket"]
    assert 0 < streams[0].number != streams[1].number > 0


def test_programs_that_are_no_usual_file(watcher: Watcher, home: Path) -> None:
    code = """
program = open("/bin/true", "rb").read()
def run(path): subprocess.run([path], pass_fds=[memfd, gone], check=True)
memfd = os.memfd_create("quiet", 0); os.write(memfd, program)
open(sys.argv[1] + "/gone", "wb").write(program); os.chmod(sys.argv[1] + "/gone", 0o755)
gone = os.open(sys.argv[1] + "/gone", os.O_RDONLY); os.unlink(sys.argv[1] + "/gone")
shm = f"/dev/shm/lw-calls-{os.getpid()}"
with open(shm, "wb") as file: file.write(program)
os.chmod(shm, 0o755)
try: [run(path) for path in (f"/proc/self/fd/{memfd}", f"/proc/self/fd/{gone}", shm, "/bin/true")]
finally: os.unlink(shm)
"""
    _, events = watcher.run(code, str(home))
    assert [e.origin for e in of_execs(events)] == ["", "memfd", "deleted", "shm", ""]
    assert [(e.kind, e.source) for e in of_calls(events) if e.kind == "memfd"] == [("memfd", "quiet")]


def test_a_pseudo_terminal(watcher: Watcher) -> None:
    (told,) = watcher.calls("fd = os.openpty()[1]; assert os.ttyname(fd).startswith('/dev/pts/')")
    assert told.kind == "pty"


def test_sockets_that_are_neither_tcp_nor_udp(watcher: Watcher) -> None:
    code = """
socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
socket.socket(socket.AF_INET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 255)
socket.socket(socket.AF_INET); socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); socket.socket(socket.AF_UNIX)
"""
    told = watcher.calls(code)
    assert [(t.kind, t.label, t.number) for t in told] == [("socket", "packet", 0), ("socket", "raw", 255)]


def test_icmp_is_counted_by_address(watcher: Watcher) -> None:
    code = """
import struct
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)
for _ in range(5): raw.sendto(struct.pack("!BBHHH", 8, 0, 0, 1, 1) + bytes(92), ("127.0.0.9", 0))
"""
    pid, events = watcher.run(code)
    sent = [e for e in of_calls(events) if e.kind == "icmp"]
    assert [(e.pid, e.path, e.number) for e in sent] == [(pid, "127.0.0.9", 5 * 120)]


# -- the host ----------------------------------------------------------------------------------------------------------


def test_roots_and_mounts(watcher: Watcher, home: Path) -> None:
    code = """
os.chdir(sys.argv[1])
call(272, 0x20000)
must(libc.mount(b"none", b"/", None, 0x44000, None))  # MS_REC | MS_PRIVATE: nothing is mounted
must(libc.mount(b"mine", b".claude", b"tmpfs", 1, None))
os.chroot("keys/../.claude")
"""
    (home / "keys").mkdir()
    told = watcher.calls(code, str(home))
    assert [(t.kind, t.path, t.source, t.label, t.number) for t in told[1:]] == [
        ("mount", f"{home}/.claude", "mine", "tmpfs", 1),
        ("chroot", f"{home}/.claude", "", "", 0),
    ]


def test_a_bpf_program(watcher: Watcher) -> None:
    code = """
import struct
code = ctypes.create_string_buffer(struct.pack("<QQ", 0xb7, 0x95))  # r0 = 0; exit
gpl = ctypes.create_string_buffer(b"GPL")
attr = struct.pack("<IIQQIIQII16s", 1, 2, ctypes.addressof(code), ctypes.addressof(gpl), 0, 0, 0, 0, 0, b"quiet")
call(321, 5, ctypes.create_string_buffer(attr), len(attr))
"""
    (told,) = watcher.calls(code)
    assert (told.kind, told.source, told.number) == ("bpf", "quiet", 1)


def test_a_signal_to_another_cgroup(watcher: Watcher) -> None:
    with subprocess.Popen(["sleep", "60"]) as near, subprocess.Popen(["sleep", "60"]) as far:
        group = host.cgroup2() / f"leeward-calls-{os.getpid()}"
        group.mkdir()
        try:
            (group / "cgroup.procs").write_text(str(far.pid))
            told = watcher.calls("[os.kill(int(pid), 15) for pid in sys.argv[1:]]", str(near.pid), str(far.pid))
            near.wait()
            far.wait()
        finally:
            group.rmdir()
    assert [(t.kind, t.target, t.number) for t in told] == [("kill", far.pid, 15)]
