"""TCP ports on loopback."""

import errno
import socket
from typing import Final

from .errors import DemoError

LOOPBACK: Final = "127.0.0.1"


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.create_server((LOOPBACK, 0)) as server:
        _, port = server.getsockname()
    return int(port)


def check_free(port: int) -> None:
    """Raise DemoError if nothing could listen on this port."""
    try:
        socket.create_server((LOOPBACK, port)).close()
    except OSError as error:
        raise DemoError(_sentence(port, error)) from error


def _sentence(port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} is in use. End what listens on {LOOPBACK}:{port}, or choose another port with --port."
    return f"Port {port} cannot be used ({error.strerror}). Choose another one with --port."
