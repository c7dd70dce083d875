"""What holds the code that a model wrote, chosen in one place: Inspect's sandbox, bubblewrap, or the guard alone.

An answer is run in the sandbox of its Inspect sample where the user has given one (`local` holds nothing and counts as
none); else within bubblewrap; else nowhere, unless the user has named the guard. Answers that ship with this repository
(their texts stand in recordings whose sha256 is listed in SHA256SUMS, whose own sha256 stands here) need no more than
the guard and get no more, so they come to the same, and as fast, on every machine.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from inspect_ai._util.error import PrerequisiteError
from inspect_ai._util.registry import is_registry_object, registry_info
from inspect_ai.model._model import active_model
from inspect_ai.util import sandbox
from sandbox import INSIDE, WALL_SECONDS, NotRunError, Ran, make_job, read_answer, run_calls
from sandbox_box import REPOSITORY, Box, BoxError, find_box
from shipped import is_shipped, shipped

from router_lab.providers.boundary import GUARD_VARIABLE, candidates_are_checked
from router_lab.providers.keys import RECORDED

PROBE = """
import os
def probe(*paths):
    return [os.getpid(), sorted(os.environ), [p for p in paths if os.path.exists(p)]]
"""
SET_INSIDE = {"PWD", "LC_CTYPE", "LD_LIBRARY_PATH"}
"""By bubblewrap, by Python, and by `find_box` for Python's own libraries."""


@dataclass(frozen=True)
class Boundary:
    """What holds code: `kind`, the same for people, and why there is nothing better where nothing better was found."""

    kind: Literal["inspect", "bubblewrap", "guard"]
    said: str
    box: Box | None = None
    refuse: str | None = None
    """Why only answers that ship may be run within this, and what to do."""

    def declared(self, suite: str) -> dict[str, Any]:
        """What a task says of itself in its metadata (`router_lab.providers.boundary`)."""
        return {
            "boundary": self.kind,
            "said": self.said,
            "refuse": self.refuse,
            "trusts": dict(shipped(suite).files),
        }


def choose(provider: str | None, *, guard: bool = False) -> Boundary:
    """What is to hold code of models here. The only place that decides it; what is found once holds for the process.

    Args:
        provider: of the Inspect sandbox that the sample or task has; None for none.
        guard: the user names the guard as enough, as by ROUTER_LAB_CODE_GUARD=yes; it does not go before a kernel's.
    """
    if provider not in (None, "local"):
        return Boundary("inspect", f"Inspect's sandbox `{provider}`")
    box = usable_box()
    if isinstance(box, Box):
        filtered = (
            "and a filter of system calls"
            if box.seccomp
            else "without a filter of system calls on this machine"
        )
        return Boundary("bubblewrap", f"bubblewrap: namespaces of its own, a read-only root, {filtered}", box)
    if guard or _guard_named():
        return Boundary(
            "guard", f"the built-in guard alone, as you said: a jail for slips, not for attacks; {box}"
        )
    return Boundary(
        "guard",
        "nothing that would do for an answer that does not ship",
        refuse=f"it runs code of models and nothing here holds it: {box}. Install bubblewrap (apt install bubblewrap), "
        "or give the task an Inspect sandbox (args: {sandbox: docker}; inspect eval -T sandbox=docker), or, if the "
        f"guard, a jail for slips alone, is enough for these models, say {GUARD_VARIABLE}=yes or args: {{guard: true}}",
    )


def check_task(boundary: Boundary) -> None:
    """Refuse to make a task that may not run its answers, while nothing is paid yet. A sweep asks by itself about each
    candidate; answers of recordings are looked at one by one. Raises PrerequisiteError."""
    model = active_model()
    if (
        boundary.refuse is None
        or candidates_are_checked()
        or (model is not None and str(model).startswith(RECORDED))
    ):
        return
    raise PrerequisiteError(f"code: {boundary.refuse}")


async def run_answer(
    text: str, code: str, name: str, calls: Sequence[Sequence[Any]], *, suite: str, guard: bool = False
) -> tuple[Ran, str]:
    """Run `code`, read from the answer `text` to a question of `suite`: (what came of the calls, what held it).

    Raises NotRunError if nothing may or can run it; the sample has failed then and is not scored.
    """
    from anyio import to_thread

    environment = _inspect_sandbox()
    boundary = choose(None if environment is None else environment[0], guard=guard)
    if boundary.kind == "inspect" and environment is not None:
        return await _run_in_sandbox(environment[1], code, name, calls), "inspect"
    if await to_thread.run_sync(is_shipped, suite, text):
        boundary = Boundary("guard", "")
    if boundary.refuse is not None:
        raise NotRunError(boundary.refuse)
    # In a thread, so that other samples go on while the code runs.
    return await to_thread.run_sync(lambda: run_calls(code, name, calls, box=boundary.box)), boundary.kind


@cache
def usable_box() -> Box | str:
    """The box, tried out by running it, or why there is none: bubblewrap may be there and of no use."""
    outside = [str(REPOSITORY / "datasets"), "/proc", "/sys", "/tmp", "/bin/sh"]
    try:
        box = find_box()
        (result,) = run_calls(PROBE, "probe", [outside], box=box, guard=False).results
    except (BoxError, NotRunError, OSError) as error:
        return f"bubblewrap is of no use here ({error})" if shutil.which("bwrap") else str(error)
    if "value" in result:
        process, names, seen = result["value"]
        if process < 9 and set(names) <= SET_INSIDE and not seen:
            return box
    return f"bubblewrap runs, but what is in it sees more than a Python: {json.dumps(result)[:200]}"


def _guard_named() -> bool:
    value = os.environ.get(GUARD_VARIABLE, "").strip().lower()
    if value not in ("", "yes", "no"):
        raise PrerequisiteError(
            f"{GUARD_VARIABLE} is {value!r}; it may be `yes` (the built-in guard alone is enough) or `no`"
        )
    return value == "yes"


def _inspect_sandbox() -> tuple[str, Any] | None:
    """(provider, environment) of the sample that is being scored, or None."""
    try:
        environment: Any = sandbox()
    except (ProcessLookupError, LookupError):
        return None
    kind = type(getattr(environment, "_sandbox", environment))
    return registry_info(kind).name.rpartition("/")[2] if is_registry_object(
        kind
    ) else kind.__name__, environment


async def _run_in_sandbox(environment: Any, code: str, name: str, calls: Sequence[Sequence[Any]]) -> Ran:
    """In a sandbox of the user's, which has a Python 3 of its own."""
    job = make_job(code, name, calls, boxed=True)
    try:
        done = await environment.exec(
            ["python3", "-I", "-S", "-c", INSIDE], input=job, timeout=int(WALL_SECONDS), timeout_retry=False
        )
    except TimeoutError:
        return Ran(tuple({"error": "wall"} for _ in calls))
    except OSError as error:
        raise NotRunError(f"Inspect's sandbox could not run python3: {error}") from None
    ended = "cpu" if done.returncode in (128 + 24, 128 + 9, -24, -9) else None
    return read_answer(done.stdout.encode(), calls, ended, " ".join(done.stderr.split())[:300])
