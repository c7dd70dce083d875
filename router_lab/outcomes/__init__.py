"""Outcomes and calls: the only tables that pass between stages."""

from router_lab.outcomes.belonging import outcomes_for
from router_lab.outcomes.candidates import by_row, candidates_of
from router_lab.outcomes.columns import CALL_COLUMNS, KEY, OUTCOME_COLUMNS
from router_lab.outcomes.files import read_calls, read_outcomes, write_calls, write_outcomes
from router_lab.outcomes.matrix import OutcomeMatrix, split_column, split_of
from router_lab.outcomes.schema import (
    SCORED,
    cut_off_share,
    scored_figures,
    validate_calls,
    validate_outcomes,
)
from router_lab.runtime.values import STATUSES

__all__ = [
    "CALL_COLUMNS",
    "KEY",
    "OUTCOME_COLUMNS",
    "SCORED",
    "STATUSES",
    "OutcomeMatrix",
    "by_row",
    "candidates_of",
    "cut_off_share",
    "outcomes_for",
    "read_calls",
    "read_outcomes",
    "scored_figures",
    "split_column",
    "split_of",
    "validate_calls",
    "validate_outcomes",
    "write_calls",
    "write_outcomes",
]
