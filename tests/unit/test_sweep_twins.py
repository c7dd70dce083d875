"""Arguments of the task make two candidates of one request, where the task knows them and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from router_lab.runtime.errors import InputError
from router_lab.sweep import prepare

EVALS = Path(__file__).resolve().parents[2] / "evals"


@pytest.mark.parametrize(("suite", "twins"), [("agent", False), ("dates", True)])
def test_turns_tell_candidates_apart_only_in_a_suite_that_counts_them(
    tmp_path: Path, suite: str, twins: bool
) -> None:
    (tmp_path / "efforts.yaml").write_text(
        "free: {max_tokens: 8}\nbounded: {max_tokens: 8, task_args: {max_turns: 2}}"
    )
    sweep = {
        "name": "twins",
        "models": [{"model": "openai-api/local/m", "base_url": "http://127.0.0.1:9/v1"}],
        "efforts": ["free", "bounded"],
        "suites": [suite],
        "suites_file": str(EVALS / "suites.yaml"),
        "efforts_file": "efforts.yaml",
    }
    file = tmp_path / "sweep.yaml"
    file.write_text(yaml.safe_dump(sweep))
    if twins:
        with pytest.raises(InputError, match=r"candidates .* @ free and .* @ bounded send byte-identical"):
            prepare(file, spending=False)
    else:
        assert len(prepare(file, spending=False).tasks) == 2
