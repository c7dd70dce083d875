"""A server on this machine that speaks S3, and what is said to everybody who is to find it."""

from __future__ import annotations

import logging
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import fsspec
from moto.server import ThreadedMotoServer


@contextmanager
def s3_server(put: Callable[[str, str], object], bucket: str) -> Iterator[fsspec.AbstractFileSystem]:
    """While this lasts `put` has told the environment of a server with one empty `bucket`."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line for every request, else
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    # What it holds outlives it.
    urllib.request.urlopen(f"http://{host}:{port}/moto-api/reset", data=b"").close()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():  # fmt: skip
        put(name, value)
    files = fsspec.filesystem("s3", skip_instance_cache=True, use_listings_cache=False)
    fsspec.filesystem("s3").clear_instance_cache()  # of another test's server
    files.mkdir(bucket)
    try:
        yield files
    finally:
        fsspec.filesystem("s3").clear_instance_cache()
        server.stop()
