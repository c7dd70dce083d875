"""Every YAML file that a user writes, as a pydantic model that refuses unknown keys.

`load(Model, path)` and `load_map(Model, path)` are the only ways in: whatever is wrong comes out
as one `InputError` line that names the file, the key, the value and the rule.
"""

from router_lab.config.base import Strict, load, load_list, load_map, parse, parse_yaml, read_yaml
from router_lab.config.prices import LongContext, Price, Prices, SelfHosted, ToolPrice, price_doubts
from router_lab.config.recipe import CandidateFields, CandidateRef, Gate, Gates, Recipe, Rule
from router_lab.config.sweep import (
    BatchSpec,
    Effort,
    Limits,
    ModelSpec,
    Suite,
    SuiteUse,
    Sweep,
    WireRow,
)
from router_lab.config.teams import Example, HarnessSpec, RoleSpec, TeamSpec, combined

__all__ = [
    "BatchSpec", "CandidateFields", "CandidateRef", "Effort", "Example", "Gate", "Gates", "HarnessSpec", "Limits",
    "LongContext", "ModelSpec", "Price", "Prices", "Recipe", "RoleSpec", "Rule", "SelfHosted", "Strict",
    "Suite", "SuiteUse", "Sweep", "TeamSpec", "ToolPrice", "WireRow", "combined", "load", "load_list", "load_map", "parse",
    "parse_yaml", "price_doubts", "read_yaml",
]  # fmt: skip
