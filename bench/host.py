"""The bench's server and observers: nginx over TLS on loopback, and each way of probing the same OpenSSL functions."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from leeward.sensor.libbpf import Object
from leeward.sensor.libraries import Target, describe, host_libraries

HERE = Path(__file__).parent
TLS_PORT, API_PORT = 18443, 18420
LIBSSL = "/usr/lib/x86_64-linux-gnu/libssl.so.3"
ANSWER = (
    '{"id":"chatcmpl-bench","object":"chat.completion","created":1,"model":"gpt-4o-mini-2024-07-18","choices":[{"index":0,'
    '"message":{"role":"assistant","content":"' + "All is well. " * 50 + '"},"finish_reason":"stop"}],'
    '"usage":{"prompt_tokens":300,"completion_tokens":150,"total_tokens":450}}'
)


def need(*commands: str) -> None:
    missing = [c for c in commands if shutil.which(c) is None]
    if missing:
        sys.exit(f"bench: {', '.join(missing)} missing: run `make bench`, which installs them")


@contextlib.contextmanager
def nginx(folder: Path) -> Iterator[None]:
    """One worker, TLS 1.3, keep-alive; `/` is 900 bytes, `/v1/chat/completions` answers like the API."""
    certificate = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    keys = ["-keyout", str(folder / "k.pem"), "-out", str(folder / "c.pem")]
    subprocess.run(["openssl", "req", *certificate, *names, *keys], check=True, capture_output=True)
    (folder / "nginx.conf").write_text(
        f"""daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
        events {{ worker_connections 512; }}
        http {{ access_log off; keepalive_requests 10000000; keepalive_timeout 600;
          client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
          uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
          server {{ listen 127.0.0.1:{TLS_PORT} ssl; ssl_certificate {folder}/c.pem; ssl_certificate_key {folder}/k.pem;
            location / {{ return 200 "{"x" * 900}"; }}
            location = /v1/chat/completions {{ default_type application/json; return 200 '{ANSWER}'; }} }} }}"""
    )
    process = subprocess.Popen(["taskset", "-c", "1", "nginx", "-c", str(folder / "nginx.conf"), "-e", "stderr"])
    try:
        time.sleep(1)
        yield
    finally:
        process.terminate()
        process.wait(10)


@contextlib.contextmanager
def nothing() -> Iterator[None]:
    yield


@contextlib.contextmanager
def leeward(folder: Path, *options: str) -> Iterator[int]:
    """`leeward run`; yields its pid once the API answers."""
    command = [
        str(Path(sys.executable).with_name("leeward")),
        "run",
        "--port",
        str(API_PORT),
        "--state",
        str(folder),
        *options,
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{API_PORT}/api/v1/health", timeout=1).close()
                break
            except OSError:  # not yet
                time.sleep(0.1)
        else:
            raise RuntimeError("leeward run did not come up")
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


@contextlib.contextmanager
def bpftrace() -> Iterator[None]:
    """Plain probes on entry and return that count calls: the least that a bpftrace user would write."""
    functions = ("SSL_write", "SSL_read", "SSL_write_ex", "SSL_read_ex")
    script = "".join(f"uprobe:{LIBSSL}:{f} {{ @c++ }} uretprobe:{LIBSSL}:{f} {{ @r++ }} " for f in functions)
    process = subprocess.Popen(["bpftrace", "-e", script], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        assert process.stdout is not None
        said = []
        while not said or b"Attaching" not in said[-1]:
            said.append(process.stdout.readline())
            if not said[-1]:
                raise RuntimeError(f"bpftrace: {b''.join(said)!r}")
        time.sleep(2)
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


@contextlib.contextmanager
def empty_probes(folder: Path) -> Iterator[None]:
    """Programs that do nothing where Leeward's probes sit: the floor."""
    target = next(t for p in host_libraries() if isinstance(t := describe(p, str(p)), Target))
    compiled = folder / "empty.bpf.o"
    flags = ["-target", "bpfel-freestanding", "-O2", "-g", "-fno-asynchronous-unwind-tables", "-c"]
    source = str(HERE / "empty.bpf.c")
    subprocess.run([sys.executable, "-m", "ziglang", "cc", *flags, source, "-o", str(compiled)], check=True)
    program = Object(str(compiled))
    try:
        for probe in target.probes:
            name = "on_done" if probe.returns else "on_entry"
            program.attach_uprobe(name, LIBSSL, probe.offset, returns=probe.returns, cookie=0)
        yield
    finally:
        program.close()


def resident_mib(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
