"""Addresses of stores, as `s3://bucket/logs`, wherever a path is taken.

This package alone knows of them. Everything else works on files of this machine: on a copy, of
which is put back what changed (`copy`), on one that is only read (`fetched`), on one that follows
what is published (`follow`), or on one that is kept in step while it grows (`kept`).
"""

from router_lab.places.copying import Copy, copy, fetched, follow
from router_lab.places.keeping import kept
from router_lab.places.told import address_of, copies_of, told
from router_lab.runtime.addresses import is_address, local_path

__all__ = [
    "Copy",
    "address_of",
    "copies_of",
    "copy",
    "fetched",
    "follow",
    "is_address",
    "kept",
    "local_path",
    "told",
]
