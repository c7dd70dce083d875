"""A grid of models × efforts over suites, measured through Inspect: `run_sweep` and what it is made of."""

from router_lab.sweep.plan import Plan, prepare
from router_lab.sweep.run import SweepResult, run_sweep
from router_lab.sweep.settings import Cell, Grid, Settings, load_grid

__all__ = ["Cell", "Grid", "Plan", "Settings", "SweepResult", "load_grid", "prepare", "run_sweep"]
