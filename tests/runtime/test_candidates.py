"""How a candidate looks: for people, and so that no two look alike."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_lab.runtime.model import Candidate

NAMES = st.text(alphabet='ma @+"\\', min_size=1, max_size=8)
CANDIDATES = st.builds(Candidate, NAMES, st.none() | NAMES, st.none() | NAMES)


@pytest.mark.parametrize(("candidate", "shown"), [
    (Candidate("m"), "m"), (Candidate("m", "low"), "m @ low"), (Candidate("m", "low", "a"), "m @ low + a"),
    (Candidate("m", None, "a"), "m + a"), (Candidate("m + a"), '"m + a"'), (Candidate("m @ low"), '"m @ low"'),
    (Candidate("m", "low + a"), 'm @ "low + a"'), (Candidate("m", None, "a @ b"), 'm + "a @ b"'),
    (Candidate('"m"'), r'"\"m\""'), (Candidate("openai/gpt-5@2026-01-01:x+y"), "openai/gpt-5@2026-01-01:x+y"),
    (Candidate("planner big, executor small", None, "short"), "planner big, executor small + short"),
])  # fmt: skip
def test_names_that_hold_what_stands_between_names_are_in_quotes(candidate: Candidate, shown: str) -> None:
    assert str(candidate) == shown


@given(CANDIDATES, CANDIDATES)
def test_no_two_candidates_look_alike(one: Candidate, other: Candidate) -> None:
    assert (str(one) == str(other)) == (one == other)
    assert len(str(one).splitlines()) == 1
