"""A grid of models × efforts over suites, measured through Inspect: `run_sweep` and what it is
made of.

Names are imported when they are used: finding the faults of a sweep file needs no Inspect, which
takes seconds.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from router_lab.sweep.forecast import estimate
    from router_lab.sweep.plan import Plan, prepare
    from router_lab.sweep.race import RaceOptions
    from router_lab.sweep.run import SweepResult, run_sweep
    from router_lab.sweep.settings import Cell, Grid, Settings, load_grid

__all__ = [
    "Cell",
    "Grid",
    "Plan",
    "RaceOptions",
    "Settings",
    "SweepResult",
    "estimate",
    "load_grid",
    "prepare",
    "run_sweep",
]

_HOMES = {
    "estimate": "forecast",
    "Plan": "plan",
    "prepare": "plan",
    "RaceOptions": "race",
    "SweepResult": "run",
    "run_sweep": "run",
    "Cell": "settings",
    "Grid": "settings",
    "Settings": "settings",
    "load_grid": "settings",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
