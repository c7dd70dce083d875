"""A terminal of a given width, to see what is printed there."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import struct
import termios
import threading
from collections.abc import Callable


def in_terminal(run: Callable[[], object], columns: int) -> str:
    """What `run` prints on standard output where that is a terminal of so many columns."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    read: list[bytes] = []

    def reader() -> None:
        with contextlib.suppress(OSError):  # raised once the other end is closed
            while more := os.read(ours, 65536):
                read.append(more)

    reading = threading.Thread(target=reader)
    reading.start()
    try:
        with os.fdopen(its, "w", encoding="utf-8") as stream, contextlib.redirect_stdout(stream):
            run()
    finally:
        reading.join(60)
        os.close(ours)
    return b"".join(read).decode().replace("\r\n", "\n")
