"""The socket on which the API listens."""

from __future__ import annotations

import socket

from leeward.model.errors import HostError


def listening_on(host: str, port: int) -> socket.socket:
    """A socket that listens there. HostError if the place is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise HostError(
            f"{host}:{port}: {error.strerror}: is Leeward running already? Else give another --port"
        ) from error
    listener.listen(128)
    return listener
