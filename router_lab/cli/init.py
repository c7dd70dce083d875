"""`router-lab init`: a first sweep of one's own, ready to edit."""

from __future__ import annotations

import re
from pathlib import Path

import click

from router_lab.cli.common import echo
from router_lab.cli.places import Here
from router_lab.metrics import first_groups, first_samples
from router_lab.runtime.errors import InputError
from router_lab.runtime.files import atomic_write

TASK = '''\
"""A first suite: your questions, and how an answer is scored. Any Inspect task will do as well."""

from inspect_ai import Task, task
from inspect_ai.dataset import Sample
from inspect_ai.scorer import match


@task
def questions() -> Task:
    """Replace the samples: id, input, target, and in `metadata` whatever tells near-duplicates apart (`topic`).

    {size}
    Samples of one topic count as one for every interval.
    """
    samples = [
        Sample(id="town-1", input="The capital of France, in one word?", target="Paris", metadata={{"topic": "towns"}}),
        Sample(id="sum-1", input="17 + 25? Only the number.", target="42", metadata={{"topic": "sums"}}),
        Sample(id="sum-2", input="9 * 13? Only the number.", target="117", metadata={{"topic": "products"}}),
    ]
    return Task(dataset=samples, scorer=match(location="end"))
'''

SUITES = """\
# Name a task and say how its score becomes quality in [0, 1]. Tasks from elsewhere need no more than this:
#   gsm8k:  {task: inspect_evals/gsm8k}
#   legacy: {logs: ../old-logs, scorer: model_graded_qa}
questions:
  task: questions.py@questions
  group: topic          # sample metadata: samples of one topic are one cluster
"""

EFFORTS = """\
# Presets beside the providers' own levels (none, minimal, low, medium, high, xhigh, max), which need no entry.
brief:
  system_message: Answer with the result alone.
  max_tokens: 64
thinking:
  system_message: Think step by step, then give the result in the last line.
  max_tokens: 1024
"""

PRICES = """\
# $ per million tokens, dated; what is missing here comes from genai-prices. Add one with:
#   router-lab prices add MODEL --input X --output Y --source URL --prices THIS_FILE
models: {}
"""

SWEEP = """\
# Add `wire:` rows where a provider's level is to be asked for in another way, for instance
#   wire: [{provider: openai-api, family: "local/qwen*", effort: high, config: {extra_body: {thinking: true}}}]
name: first
models:                       # as Inspect names them; keys are read from the environment (OPENAI_API_KEY …)
  - openai/gpt-5-mini
  - model: anthropic/claude-haiku-4-5
    efforts: [brief, thinking]    # instead of the list below
efforts: [null, brief]        # null: the model as it is
suites:
  - suite: questions
    epochs: 1
config: {max_tokens: 2048}    # a budget needs to know what a call can cost at most
limits: {usd: 0.05}           # the most that one sample may cost; set aside before it starts
budget_usd: 1.00              # never passed, all runs of this sweep together
"""

RECIPE = """\
# What the policy is to be. Reviewed like code: everything that decides is here.
name: {name}
reference: best       # the best single candidate; in production your incumbent: {{model: …, effort: …}}
rule:
  margin: {margin:g}        # lose at most {points:g} points of quality against the reference …
  confidence: {confidence:.2f}    # … with {sure:g} % confidence
# {size}
# A margin of {less:g} would take {more} questions.
gates:                # what `router-lab gate` asks of a policy made by this recipe
  - {{metric: quality, against: reference, margin: {margin:g}}}
  - {{metric: savings, min: 0}}     # shown not to be dearer; ask for more once you know what there is to save
"""

MARGIN, CONFIDENCE, LESS = 0.05, 0.90, 0.03

FILES = {
    "evals/questions.py": TASK,
    "evals/suites.yaml": SUITES,
    "evals/efforts.yaml": EFFORTS,
    "evals/prices.yaml": PRICES,
    "evals/sweeps/first.yaml": SWEEP,
    "recipe.yaml": RECIPE,
}


@click.command()
@click.argument("folder", metavar="[DIR]", default=".", type=Here(file_okay=False))
def init(folder: Path) -> None:
    """Write a first sweep and recipe into DIR, ready to edit, and print the sweep. Refuses to
    overwrite anything."""
    taken = [name for name in FILES if (folder / name).exists()]
    if taken:
        raise InputError(f"{folder / taken[0]}: is there already; choose another directory")
    policy = re.sub(r"[^A-Za-z0-9._-]+", "-", folder.resolve().name).lstrip("._-")[:80] or "first"
    told = _told(policy)
    for name, text in FILES.items():
        whole = (
            text.format(**told) if text in (RECIPE, TASK) else text.replace("THIS_FILE", str(folder / name))
        )
        atomic_write(folder / name, whole.encode())
    sweep = folder / "evals/sweeps/first.yaml"
    echo(
        f"questions.py holds 3 examples, which can conclude nothing. {told['size']}",
        f"edit {folder / 'evals/questions.py'} and {sweep}, then: router-lab sweep {sweep} --dry-run",
        err=True,
    )
    echo(str(sweep))


def _told(policy: str) -> dict[str, object]:
    """What the templates say of the policy, its rule, and the sizes at which that rule and its
    gates can pass."""
    from router_lab.config import Recipe

    holdout = Recipe(name=policy).holdout
    some, more = (_about(first_samples(margin, CONFIDENCE, holdout=holdout)) for margin in (MARGIN, LESS))
    topics = _about(first_groups(holdout))
    rule = f"{100 * MARGIN:g} points and {100 * CONFIDENCE:g} %"
    size = f"For a verdict at {rule}: about {some} questions, in {topics} topics or more."
    return {
        "name": policy, "margin": MARGIN, "points": 100 * MARGIN, "confidence": CONFIDENCE, "sure": 100 * CONFIDENCE,
        "less": LESS, "more": more, "size": size,
    }  # fmt: skip


def _about(number: int) -> int:
    """Rounded up to tens."""
    return -(-number // 10) * 10
