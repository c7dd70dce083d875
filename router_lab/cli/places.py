"""Arguments and options that are a path, an address of a store, or `file://`.

A command gets a path of this machine in each case: of an address a copy, from which what changed
is put back before the path is printed, or at the command's end.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from router_lab.runtime.addresses import is_address, local_path

if TYPE_CHECKING:
    from router_lab.places import Copy

_COPIES = "router_lab.places"
"""Key of a context's `meta`: the copies of the running command."""


class Place(click.Path):
    """A path or an address. beside: names of files that are to come with a file at an address."""

    def __init__(self, *, beside: Collection[str] = (), **how: Any) -> None:
        super().__init__(path_type=Path, **how)
        self._beside = beside

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path of this machine that stands for `value`."""
        if is_address(value):
            if ctx is None or ctx.resilient_parsing:
                self.fail(f"{value}: an address is for a command's own arguments", param, ctx)
            made = _copied(str(value), self._beside)
            try:
                found = super().convert(made.path, param, ctx)
            except BaseException:
                made.close()
                raise
            ctx.meta.setdefault(_COPIES, []).append(made)
            ctx.call_on_close(lambda: _done(made))
            return found
        return super().convert(local_path(value), param, ctx)


class Destination(click.Path):
    """A folder's path, or an address as its text: for what is kept in step with it by itself."""

    def __init__(self) -> None:
        super().__init__(file_okay=False, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """A path, or the text of an address."""
        return str(value) if is_address(value) else super().convert(local_path(value), param, ctx)


class Here(click.Path):
    """A path of this machine alone: of files that name others beside them, and of private keys."""

    def __init__(self, **how: Any) -> None:
        super().__init__(path_type=Path, **how)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path; an address is a usage error."""
        if is_address(value):
            self.fail(
                f"{value}: is an address; this file must be on this machine: copy it here first", param, ctx
            )
        return super().convert(local_path(value), param, ctx)


def _copied(address: str, beside: Collection[str]) -> Copy:
    from router_lab.cli.common import step
    from router_lab.outcomes.looks import LOOKS
    from router_lab.places import Copy

    with step(f"copying {address}"):
        return Copy(address, beside=(LOOKS, *beside), journals=(LOOKS,))


def _done(made: Copy) -> None:
    try:
        made.put()
    finally:
        made.close()


def put_back() -> None:
    """Put what changed in every copy of the running command. Raises InputError where another
    changed the same meanwhile."""
    context = click.get_current_context(silent=True)
    for made in context.meta.get(_COPIES, ()) if context is not None else ():
        made.put()


def addresses_in(text: str) -> str:
    """A text for people, with addresses instead of the folders that copy them."""
    import sys

    module = sys.modules.get("router_lab.places.told")  # not loaded: nothing was copied
    return text if module is None else str(module.told(text))
