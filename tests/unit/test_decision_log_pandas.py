"""What pandas calls missing, in a decision log; apart from tests/runtime, which run beside numpy alone."""

from pathlib import Path

import pandas as pd
import pytest

from router_lab import load_policy
from router_lab.runtime import DecisionLog
from router_lab.runtime.decisions import outcome_rows
from router_lab.runtime.errors import InputError

GOLDEN = Path(__file__).parent.parent / "golden"


def test_what_pandas_does_not_know_is_left_out_but_is_no_quality(tmp_path: Path) -> None:
    policy = load_policy(next(path.parent for path in sorted(GOLDEN.rglob("policy.json"))))
    log = DecisionLog(tmp_path / "d.jsonl")
    number = log.write(policy.decide("a question"))
    log.outcome(number, quality=0.25, latency_s=1.0)
    log.outcome(number, latency_s=pd.NA, cost_usd=pd.NaT, check=pd.NA, status=pd.NA)
    with pytest.raises(InputError, match="must be a number"):
        log.outcome(number, quality=pd.NA)
    [row] = outcome_rows(log.path)
    assert (row["quality"], row["latency_s"]) == (0.25, 1.0) and row.get("cost_usd") is None
