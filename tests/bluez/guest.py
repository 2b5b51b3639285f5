"""In the guest: give the kernel Bluetooth, then run the tests. guest FOLDER, which holds the modules in their order."""

import ctypes
import fcntl
import os
from pathlib import Path
import socket
import struct
import sys
from typing import Final

import pytest

RESULTS: Final = Path("/mnt")

_FINIT_MODULE: Final = 313
_EXISTS: Final = 17
_SIOCSIFFLAGS: Final = 0x8914
_IFF_UP: Final = 1


def load_modules(folder: Path) -> None:
    """Load the modules in the order that the folder tells."""
    libc = ctypes.CDLL(None, use_errno=True)
    for name in (folder / "order").read_text(encoding="utf-8").split():
        with (folder / name).open("rb") as module:
            if libc.syscall(_FINIT_MODULE, module.fileno(), b"", 0) and ctypes.get_errno() != _EXISTS:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), name)


def switch_loopback_on() -> None:
    """Let programs talk to this machine itself, as Home Assistant does."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        fcntl.ioctl(one, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP))


def main() -> None:
    """Run what is asked for, and leave the exit code for the host."""
    load_modules(Path(sys.argv[1]))
    switch_loopback_on()
    arguments = (RESULTS / "arguments").read_text(encoding="utf-8").splitlines()
    code = pytest.main(["-p", "no:homeassistant", "--color=yes", "--disable-warnings", "--timeout=240", *arguments])
    (RESULTS / "exit_code").write_text(str(int(code)), encoding="utf-8")


if __name__ == "__main__":
    main()
