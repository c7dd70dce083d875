"""An HTTP server on loopback for many callers at once. Tests only.

The standard library's keeps five connections waiting; while the machine is busy a client gives up on the sixth
(`APIConnectionError` after five seconds), and a test that forbids retries fails for it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class ManyServer(ThreadingHTTPServer):
    """Its connections wait in a long queue; clients that are killed on purpose are nobody's news."""

    daemon_threads = True
    request_queue_size = 512

    def handle_error(self, *_: Any) -> None:
        pass

    def start(self) -> None:
        """Serves in a thread, until `shutdown`."""
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()


@contextmanager
def served(handler: type[BaseHTTPRequestHandler]) -> Iterator[ManyServer]:
    """A server that answers by `handler` while the block runs."""
    server = ManyServer(("127.0.0.1", 0), handler)
    server.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
