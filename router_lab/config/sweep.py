"""suites.yaml, efforts.yaml and sweeps/*.yaml: what is measured."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from router_lab.config.base import JsonObject, Name, Positive, Share, Strict
from router_lab.config.recipe import CandidateFields, Reference
from router_lab.config.teams import Example, Levers, TeamSpec, combined
from router_lab.runtime.addresses import is_address
from router_lab.runtime.errors import RouterLabWarning


class Suite(Strict):
    """A task and how its score becomes quality. Exactly one of `task` (to run) and `logs` (a
    folder of .eval logs)."""

    task: str | None = None
    """`path/file.py@task`, or the registered name of an installed package's task."""
    logs: str | None = None
    args: JsonObject = Field(default_factory=dict)
    scorer: str | None = None
    """The scorer whose value is the quality; null = the task's first."""
    quality: dict[str, Share] = Field(default_factory=lambda: {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0})
    """Text score values to quality; numbers are taken as they are and must lie in [0, 1]."""
    value: str | None = None
    """The key to take where a score's value is a mapping."""
    group: str | None = None
    """Sample metadata key that holds the cluster; null = equal prompts are one cluster."""
    check: str | None = None
    """Score metadata key that tells whether a run-time check of the answer passed; null = it
    cannot be checked."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.task is None) == (self.logs is None):
            raise ValueError("give exactly one of task and logs")
        return self


class Effort(Strict):
    """A named preset of request settings. A provider's own level needs none: its name is sent as
    reasoning_effort."""

    reasoning_effort: str | None = None
    reasoning_tokens: Annotated[int, Field(ge=1)] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    verbosity: Literal["low", "medium", "high"] | None = None
    temperature: Annotated[float, Field(ge=0)] | None = None
    seed: int | None = None
    stop: list[str] | None = None
    system_message: str | None = None
    few_shot: list[Example] | dict[str, list[Example]] = Field(default_factory=list)
    """Exchanges for every suite, or a mapping from suite name to exchanges."""
    suites: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Overrides of the fields above for single suites, e.g. `suites: {agent: {max_tokens:
    64}}`."""
    task_args: JsonObject = Field(default_factory=dict)
    """Passed to tasks that declare them: turns, tool results kept, terse observations."""
    extra_body: JsonObject = Field(default_factory=dict)


class WireRow(Strict):
    """How a provider's effort level is asked for: one row of the table (provider, family, effort)
    → request."""

    provider: str = "*"
    """Shell pattern for the part of Inspect's model name before the first `/`."""
    family: str = "*"
    """Shell pattern for the rest of it, such as `claude-haiku-*`."""
    effort: str = "*"
    """Shell pattern for the level."""
    config: JsonObject = Field(default_factory=dict)
    """GenerateConfig fields; a value `$effort` stands for the level. `extra_body` is passed on
    raw."""
    args: JsonObject = Field(default_factory=dict)
    """Raw arguments of the provider, before the model's own."""


class ModelSpec(Strict):
    """A model as Inspect names it, with what is special about it."""

    model: str = Field(min_length=1)
    base_url: str | None = None
    args: JsonObject = Field(default_factory=dict)
    efforts: list[str | None] | None = None
    """Instead of the sweep's own list."""
    config: JsonObject = Field(default_factory=dict)
    """Inspect GenerateConfig fields for every effort of this model."""
    max_connections: Annotated[int, Field(ge=1)] | None = None
    logprobs: bool | None = None
    """Instead of the sweep's own; false where the provider refuses a request that asks for them,
    and there is no self-check then either."""
    record: bool = True
    """False for a provider whose requests cannot be recorded on loopback: no decision then hands
    out its request."""
    name: str | None = None
    """The candidate's model name in outcomes, where it should not be Inspect's."""
    alone: bool = True
    """False for a model that only serves in teams."""


class SuiteUse(Strict):
    """A suite in a sweep, perhaps only the first `limit` samples of its shuffled order."""

    suite: str
    limit: Annotated[int, Field(ge=1)] | None = None
    epochs: Annotated[int, Field(ge=1)] = 1


def _text_is(key: str) -> BeforeValidator:
    """A text alone stands for a mapping with that key."""
    return BeforeValidator(lambda value: {key: value} if isinstance(value, str) else value)


class Limits(Strict):
    """Per sample; reaching one ends the sample with status `limit`, scored as it stands."""

    turns: Annotated[int, Field(ge=1)] | None = None
    tokens: Annotated[int, Field(ge=1)] | None = None
    usd: Positive | None = None
    seconds: Positive | None = None


class RaceSpec(Strict):
    """How `sweep --race` drops candidates; margin and confidence as in a recipe's rule."""

    margin: Annotated[float, Field(gt=0, lt=1)] = 0.03
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.90
    control_share: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Share of the clusters, drawn at random, on which a candidate that left still runs. One that
    is good for a tenth of the prompts alone needs some 600 such clusters for a policy to find it
    (docs/racing.md)."""
    reference: Annotated[Reference, BeforeValidator(lambda value: "best" if value is None else value)] = (
        "best"
    )
    """The incumbent, which all are judged against; or the best candidate, whoever that is."""
    prior: Annotated[str, Field(min_length=1)] | None = None
    """Outcomes of an earlier sweep, as a path seen from this file or an address, from which the
    race takes whom to put forward first; it has no part in any test."""
    was: dict[str, str] = Field(default_factory=dict)
    """By the name of a new model that of the earlier one whose place it takes, as outcomes have
    both."""

    @model_validator(mode="after")
    def _was_is_of_a_prior(self) -> Self:
        if self.was and self.prior is None:
            raise ValueError("was says who stood where in an earlier sweep: name its outcomes, `prior: FILE`")
        return self

    @model_validator(mode="before")
    @classmethod
    def _old_name(cls, value: object) -> object:
        if not isinstance(value, dict) or "floor" not in value:
            return value
        if "control_share" in value:
            raise ValueError("gives control_share and floor, which is its earlier name; take floor out")
        text = "race.floor is called race.control_share now; it counts as that"
        warnings.warn(RouterLabWarning(text), stacklevel=2)
        return {"control_share" if key == "floor" else key: given for key, given in value.items()}


class BatchSpec(Strict):
    """How `sweep --batch` uses the providers' batch APIs; what is in flight is lost when the
    process is killed."""

    in_flight: Annotated[int, Field(ge=1)] = 100
    """Requests of one model at a time, and so the size of a batch."""
    send_delay: Positive = 15.0
    """Seconds to wait for a batch to fill."""
    tick: Positive = 15.0
    """Seconds between two looks at a batch."""


class RaySpec(Strict):
    """How `sweep --engine ray` cuts a sweep into portions, each run by one process of the
    cluster."""

    samples: Annotated[int, Field(ge=1)] | None = None
    """Samples of a portion; null = four portions for each that can run at once, of 500 at most."""
    cpus: Positive = 1.0
    """CPUs of a machine that a portion takes."""
    sandbox_cpus: Positive = 2.0
    """The same where samples have sandboxes, or code of models is run."""


class SelfCheck(Strict):
    """How a candidate is asked whether its own answer is right."""

    prompt: str = (
        "Question:\n{question}\n\nProposed answer:\n{answer}\n\nIs this answer right? Reply with one word: "
        "True or False."
    )
    """`{answer}` stands for the answer, `{question}` for the sample's input, of a conversation its
    last user turn."""

    @model_validator(mode="after")
    def _shows_the_answer(self) -> Self:
        if "{answer}" not in self.prompt:
            raise ValueError("prompt must hold {answer}, where the answer is to stand")
        return self


def _or_defaults(value: object) -> object:
    """`true` is all defaults, `false` is none."""
    return {} if value is True else None if value is False else value


def _here_alone(value: str) -> str:
    if is_address(value):
        raise ValueError("is an address; this file must be on this machine: copy it here first")
    return value


HereAlone = Annotated[str, AfterValidator(_here_alone)]
"""A file that is read as a part of the sweep file."""


class Sweep(Strict):
    """sweeps/*.yaml: (models × efforts, and teams) × harnesses over suites."""

    instead: ClassVar[Mapping[str, str]] = {
        "candidates": "its candidates are each of `models` with each of `efforts`, and the `teams`: name them there"
    }
    name: Name
    models: Annotated[list[Annotated[ModelSpec, _text_is("model")]], Field(min_length=1)]
    efforts: list[str | None] = Field(default=[None], min_length=1)
    teams: list[TeamSpec] = Field(default_factory=list)
    """Candidates whose roles are models of `models`; a role with a list is an axis of a grid."""
    harnesses: list[str | None] | None = None
    """Names in harnesses_file; null = the suite's own. Default: that one alone."""
    levers: Levers = Field(default_factory=dict)
    """Instead of `harnesses`: every combination of the levers' levels is one."""
    share_calls: bool | None = None
    """Whether candidates that send a model the same request share its answer, so that it is paid
    once. Default: where temperature is 0, in sweeps with teams; true = at any temperature."""
    suites: Annotated[list[Annotated[SuiteUse, _text_is("suite")]], Field(min_length=1)]
    suites_file: HereAlone = "../suites.yaml"
    """Relative to the sweep file, like every path in it."""
    efforts_file: HereAlone = "../efforts.yaml"
    harnesses_file: HereAlone = "../harnesses.yaml"
    prices_file: HereAlone = "../prices.yaml"
    wire: str | list[WireRow] = Field(default_factory=list)
    """Rows (or a file of them) that say how effort levels are asked for, before the built-in
    table."""
    seed: int = 0
    recorded: str = "../../datasets/recorded"
    """Folder of recorded generations, for models named `recorded/…`; may be an address."""
    log_dir: str | None = None
    """Where its logs go, as a folder seen from this file or an address (docs/addresses.md), unless
    the command line says. Default: logs/NAME in the working directory."""
    wave: Annotated[int, Field(ge=1)] | None = None
    """Samples per suite in the first wave; each further wave doubles what has been run. Null = one
    wave, or as the budget wants it."""
    max_connections: Annotated[int, Field(ge=1)] | None = None
    max_retries: Annotated[int, Field(ge=0)] = 3
    timeout: Annotated[int, Field(ge=1)] | None = 1800
    """Seconds for one whole answer, however slowly it trickles; null = no limit. Batches have
    none."""
    cache_prompt: bool = False
    """Provider prompt caching while measuring: off, because it makes cost depend on the order of
    the arms."""
    logprobs: bool = False
    """Ask for the log-probabilities of every answer's tokens (`signal_logprob`). No setting: with
    them and without, a candidate is the same."""
    self_check: Annotated[SelfCheck | None, BeforeValidator(_or_defaults)] = None
    """Ask each candidate whether its own answer is right (`signal_self_check`), in a call of its
    own behind each answer; true = in our words."""
    budget_usd: Positive | None = None
    reference: CandidateFields | None = None
    """The dear candidate that `reference_share` is of; a recipe then names it too."""
    reference_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the clusters, drawn at random, on which the reference runs; all others run on every
    sample. What it would have done elsewhere is estimated from what they did there
    (docs/two-phases.md)."""
    limits: Limits = Field(default_factory=Limits)
    race: RaceSpec = Field(default_factory=RaceSpec)
    batch: BatchSpec = Field(default_factory=BatchSpec)
    ray: RaySpec = Field(default_factory=RaySpec)
    config: JsonObject = Field(default_factory=dict)
    """Inspect GenerateConfig fields for every candidate."""

    @model_validator(mode="after")
    def _one_axis_of_harnesses(self) -> Self:
        if self.levers and self.harnesses is not None:
            raise ValueError(
                "gives harnesses and levers; every combination of levers is a harness: leave one out"
            )
        combined(self.levers)
        if not self.teams and not any(model.alone for model in self.models):
            raise ValueError(
                "models: none is a candidate (`alone: false`) and there are no teams; nothing would run"
            )
        return self

    @model_validator(mode="after")
    def _names_who_is_drawn(self) -> Self:
        if self.reference_share < 1 and self.reference is None:
            raise ValueError(
                f"reference_share {self.reference_share:g} is of the reference: name it, `reference: {{model: …, "
                "effort: …}`, as the sweep has it"
            )
        return self
