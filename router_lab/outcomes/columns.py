"""The columns of outcomes and calls: each is one row here, and whatever reads, gates, reports or
documents one reads it there. Columns that count tokens follow from `runtime.kinds`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from router_lab.runtime.kinds import COUNTED


class Column(NamedTuple):
    """One column: what it is called, what may stand in it, and where it is told.

    - name: in tables, in files and on the command line
    - meaning: in docs/architecture.md
    - cells: texts, numbers that are never negative, the number of an epoch, turn or attempt, or
      true and false; null is not known
    - tables: `o` of outcomes, `c` of calls: those that are written with it; others may be given
    - needed: an outcomes table without it is refused
    - empty: a text of no characters is a text there; elsewhere it is missing
    - whole: its numbers are counts
    - others: names of it in the tables of others
    - summary: how a candidate's rows become one figure, in the report and in MLflow
    - heading: above that figure in tables of candidates; empty = not shown there
    - unit: how figures of it are written: `s`, `usd` or none
    - gated: a gate may bound its mean and its 95th percentile; policies are replayed on it
    - adds: an answer that is asked again elsewhere takes both
    """

    name: str
    meaning: str
    cells: Literal["text", "number", "index", "flag"] = "text"
    tables: str = "o"
    needed: bool = False
    empty: bool = False
    whole: bool = False
    others: str = ""
    summary: Literal["", "mean", "median"] = ""
    heading: str = ""
    unit: Literal["", "s", "usd"] = ""
    gated: bool = False
    adds: bool = False

    @property
    def tail(self) -> str:
        """What its 95th percentile is called: `latency_p95_s` of `latency_s`."""
        return f"{self.name.removesuffix(f'_{self.unit}')}_p95{self.unit and f'_{self.unit}'}"


COLUMNS: tuple[Column, ...] = (
    Column(
        "suite", "name of the suite", tables="oc", needed=True,
        others="task task_name benchmark dataset dataset_name eval eval_name test_set subset",
    ),
    Column(
        "sample_id", "of the sample within its suite", tables="oc", needed=True,
        others="id sample uid question_id example_id prompt_id item_id task_id idx index request_id",
    ),
    Column(
        "epoch", "which run of the sample, from 1", "index", tables="oc", whole=True,
        others="run trial repeat repetition attempt epochs",
    ),
    Column(
        "model", "as Inspect names it", tables="oc", needed=True,
        others="model_name model_id llm engine deployment",
    ),
    Column(
        "effort", "a provider's effort or a preset; null is the provider's default", tables="oc",
        others="reasoning_effort thinking_effort effort_level reasoning thinking_level",
    ),
    Column(
        "harness", "what surrounds the model: its tools, its context, its turns; null is the suite's own",
        tables="", others="scaffold agent_harness",
    ),
    Column("turn", "which call of the sample, from 1", "index", tables="c"),
    Column("attempt", "which try of the sample, from 1", "index", tables="c"),
    Column("role", "whose call it is: a role of the team, or a judge; null is the candidate's own", tables="c"),
    Column(
        "prompt", "the text that a runtime would see", empty=True,
        others="question query input input_text instruction messages user_prompt request text",
    ),
    Column(
        "quality", "in [0, 1]; missing only where the status is `infra` or `budget`", "number", needed=True,
        others="score scores accuracy acc correct is_correct correctness reward grade rating passed success label",
    ),
    Column(
        "status",
        "`ok`, `error` (the candidate's fault), `limit`, `infra` (kept from it), `budget` (not run on purpose)",
    ),
    *(
        Column(
            kind.column, f"{kind.unit} counted as {kind.word}", "number", tables="oc", whole=True,
            others=kind.others, summary="mean",
        )
        for kind in COUNTED
    ),
    Column(
        "turns", "model calls of the sample", "number", whole=True, others="n_turns num_turns",
        summary="mean",
    ),
    Column("seconds", "of the call", "number", tables="c"),
    Column(
        "cost_usd", "what the request costs at list prices of its day, each call alone", "number", tables="oc",
        adds=True, others="cost price total_cost usd dollars cost_dollars price_usd cost_in_usd",
    ),
    Column("paid_usd", "what was really paid for it, all attempts", "number"),
    Column("judge_usd", "what of that its judge took", "number"),
    Column("retries", "calls that were made again", "number", whole=True),
    Column(
        "check", "whether a check at run time passed its answer", "flag", others="check_passed valid is_valid"
    ),
    Column("cut_off", "whether an answer ended at `max_tokens`", "flag"),
    Column(
        "latency_s", "seconds of model time; null from batches", "number", unit="s", summary="median",
        heading="P50 latency", gated=True, adds=True,
        others="latency latency_seconds latency_sec duration duration_s elapsed elapsed_s response_time seconds",
    ),
    Column(
        "group", "which samples belong together: one cluster of every interval",
        others="cluster cluster_id group_id conversation_id thread_id document_id template_id",
    ),
    Column("settings_sha", "digest of the resolved settings; one candidate has one in a suite"),
    Column("dataset_sha", "digest of the questions"),
    Column("tier", "`standard`, `batch`, `flex` or `priority`", tables="oc"),
    Column(
        "started_at", "when the call or sample began, UTC", tables="oc",
        others="timestamp created_at created date datetime start_time",
    ),
    Column("price_date", "the day whose prices were taken"),
    Column("log", "the Inspect log that it came from"),
    Column("eval_id", "of that log's run"),
    Column("reason", "why a sample did not run, or did not count"),
    Column(
        "answer", "the answer as an application would see it", tables="", empty=True,
        others="response completion output output_text prediction generation model_response",
    ),
    Column("total_tokens", "of tables that tell no more", "number", tables="", whole=True),
    Column("weight", "one over `inclusion`; absent is 1", "number", tables=""),
    Column("inclusion", "the known probability with which this row was run", "number", tables=""),
    Column(
        "propensity", "of a decision log: the probability with which this candidate was asked", "number", tables=""
    ),
    Column("explored", "of a decision log: whether exploration drew it", "flag", tables=""),
    Column("shadow", "of a decision log: asked beside who served, on a budget", "flag", tables=""),
    Column("decision", "of a decision log: the decision's id", tables=""),
    Column("signals_usd", "what signals of the answer cost beside it", "number", tables=""),
    Column(
        "steps", "JSON list of what was scored within the run: `name`, `passed`, perhaps `role` and `turn`",
        tables="",
    ),
    Column(
        "turns_usd", "JSON list of the dollars of each model call of the run; null is not known, of one call `cost_usd`",
        tables="",
    ),
)  # fmt: skip
"""In the order in which tables are written. `cut_off` false or null: the quality is not the
limit's, or nobody knows. A race keeps a random control share, so `inclusion` is known; where only
that is given, `weight` follows from it."""

REQUIRED = tuple(c.name for c in COLUMNS if c.needed)
WHO = ("model", "effort", "harness")
KEY = ("suite", "sample_id", "epoch", *WHO)
TEXT = tuple(c.name for c in COLUMNS if c.cells == "text")
NUMBERS = tuple(c.name for c in COLUMNS if c.cells == "number")
INDEXES = tuple(c.name for c in COLUMNS if c.cells == "index")
FLAGS = tuple(c.name for c in COLUMNS if c.cells == "flag")
OUTCOME_COLUMNS = tuple(c.name for c in COLUMNS if "o" in c.tables)
CALL_COLUMNS = tuple(c.name for c in COLUMNS if "c" in c.tables)
SUMMARISED = tuple(c for c in COLUMNS if c.summary)
GATED = tuple(c for c in COLUMNS if c.gated)
ADDING = tuple(c.name for c in COLUMNS if c.adds)
LATENCY = "latency_s"


def candidate_columns(names: Iterable[str]) -> tuple[str, ...]:
    """Which of a table's columns name its candidates; tables of before harnesses have two."""
    there = set(names)
    return tuple(name for name in WHO if name in there)


def is_number(column: str) -> bool:
    """Whether `column` of an outcomes table holds numbers."""
    return column in (*NUMBERS, "epoch") or str(column).startswith("signal_")
