"""A client that speaks TLS through a given libssl, by ctypes: `live_libssl.py LIBSSL PORT PROMPT plain|ex|version`.

Prints the answer; for "version" the library's.
"""

from __future__ import annotations

import ctypes as C
import glob
import json
import os
import socket
import sys
import time


def call(library: C.CDLL, name: str, result: object, *arguments: object) -> object:
    """A function with its types."""
    function = getattr(library, name)
    function.restype, function.argtypes = result, arguments
    return function


def load(path: str) -> C.CDLL:
    """libssl, after the libcrypto beside it if there is one."""
    for crypto in glob.glob(f"{os.path.dirname(path) or '.'}/libcrypto*"):
        C.CDLL(crypto, C.RTLD_GLOBAL)
    return C.CDLL(path)


def main(path: str, port: int, prompt: str, form: str) -> None:
    lib = load(path)
    time.sleep(0.5)  # a library is seen into some 50 ms after it was first mapped
    if form == "version":
        print(call(lib, "OpenSSL_version", C.c_char_p, C.c_int)(0).decode().split()[1])  # type: ignore[operator]
        return
    pointer, size = C.c_void_p, C.c_size_t
    context = call(lib, "SSL_CTX_new", pointer, pointer)(call(lib, "TLS_client_method", pointer)())
    ssl = call(lib, "SSL_new", pointer, pointer)(context)
    sock = socket.create_connection(("127.0.0.1", port))
    call(lib, "SSL_set_fd", C.c_int, pointer, C.c_int)(ssl, sock.fileno())
    if call(lib, "SSL_connect", C.c_int, pointer)(ssl) != 1:
        raise SystemExit("no TLS")
    body = json.dumps({"model": "range", "messages": [{"role": "user", "content": prompt}]}).encode()
    fields = f"host: localhost\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    head = f"POST /v1/chat/completions HTTP/1.1\r\n{fields}"
    request, room, count = head.encode() + body, C.create_string_buffer(1 << 16), size()
    write, read = (
        call(lib, "SSL_write", C.c_int, pointer, C.c_char_p, C.c_int),
        call(lib, "SSL_read", C.c_int, pointer, pointer, C.c_int),
    )
    write_ex = call(lib, "SSL_write_ex", C.c_int, pointer, C.c_char_p, size, pointer)
    read_ex = call(lib, "SSL_read_ex", C.c_int, pointer, pointer, size, pointer)
    if form == "ex":
        write_ex(ssl, request, len(request), C.byref(count))
    else:
        write(ssl, request, len(request))
    got = b""
    while b"\r\n\r\n" not in got or len(got.partition(b"\r\n\r\n")[2]) < _length(got):
        if form == "ex":
            fine = read_ex(ssl, room, len(room), C.byref(count))
            got += room.raw[: count.value if fine == 1 else 0]
        else:
            fine = read(ssl, room, len(room))
            got += room.raw[: max(0, fine)]
        if fine <= 0:
            raise SystemExit("cut")
    print(json.loads(got.partition(b"\r\n\r\n")[2])["choices"][0]["message"]["content"])
    call(lib, "SSL_free", None, pointer)(ssl)


def _length(message: bytes) -> int:
    for line in message.partition(b"\r\n\r\n")[0].lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4])
