"""What production installs: load, decide, log, and stay within a budget. Standard library and
numpy alone.

`Budget`, `BudgetExceeded`, `DecisionLog`, `InputError`, `PolicyError` and `PolicyStore` can be
imported from here; each is loaded when it is first asked for, so that a program which only decides
pays for nothing else.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from router_lab.runtime.budget import Budget, BudgetExceeded
    from router_lab.runtime.decisions import DecisionLog
    from router_lab.runtime.errors import InputError, PolicyError
    from router_lab.runtime.store import PolicyStore

__all__ = ["Budget", "BudgetExceeded", "DecisionLog", "InputError", "PolicyError", "PolicyStore"]

_HOME = {
    "Budget": "budget", "BudgetExceeded": "budget", "DecisionLog": "decisions", "InputError": "errors",
    "PolicyError": "errors", "PolicyStore": "store",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
