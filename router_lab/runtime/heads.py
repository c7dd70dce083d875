"""What the last words of a prompt may do: keep a request with the reference, hardly move it.

Somebody who may add text to prompts can learn words that make any prompt look easy (arXiv
2501.01818). A policy with a `suffix_guard` of k words therefore predicts each prompt twice, whole
and without its last k words, and of any other candidate believes the worse of the two beside the
reference. Of a prompt to which k words were added the second text is the prompt itself, so that
these words cannot move what the prompt alone does not, a slack apart.

Heads are shorter than prompts, so weights that were fitted on prompts are wrong about them on the
mean, and each suite's heads differently. `Begun` has a level of their own for them, and lets a head
say a little less for a candidate than the prompt does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from router_lab.runtime.typed import as_list, as_number, only_keys

if TYPE_CHECKING:
    from router_lab.runtime.brief import Prediction
    from router_lab.runtime.model import PolicySpec

Floats = NDArray[np.float64]

MOST_GUARDED = 1_000
"""Words that a guard may leave out."""


def head(text: str, words: int) -> str:
    """`text` without its last `words` words and the space around them; empty where it has no more.
    A word is what stands between spaces, as `str.isspace` knows them, whatever it is made of."""
    parts = text.rsplit(None, words)
    return parts[0] if len(parts) > words else ""


class Begun(NamedTuple):
    """How heads are predicted. `bias` float64 [suites + 1, 2c]: in place of that of `Linear`.
    `slack`: quality, from 0 to 1, by which a head may say less for a candidate than the prompt."""

    bias: Floats
    slack: float


def biases(spec: PolicySpec) -> Floats:
    """[r, 2c]: of prompts by suite, and then of heads, where these have their own."""
    bias = spec.linear.bias
    return bias if spec.heads is None else np.concatenate([bias, spec.heads.bias])


def heads_out(heads: Begun) -> dict[str, object]:
    """As `heads` in policy.json."""
    return {"bias": heads.bias.tolist(), "slack": float(heads.slack)}


def heads_in(value: dict[str, Any]) -> Begun:
    """The inverse; PolicyError for an unknown key, ValueError and TypeError for another shape."""
    only_keys(value, frozenset(Begun._fields), "policy.json: heads")
    bias = [[as_number(number) for number in as_list(row)] for row in as_list(value["bias"])]
    return Begun(np.array(bias, np.float64), as_number(value["slack"]))


def guarded(whole: Prediction, begun: Prediction, reference: int, slack: float = 0.0) -> Prediction:
    """Predictions of a prompt from those of all of it and of its head: of each candidate the least
    that either says for it beside the column `reference`, in quality and in dollars; in quality the
    head's word counts for `slack` more."""
    (quality, cost, coverage), (quality_begun, cost_begun, coverage_begun) = whole, begun
    own, paid = quality[reference], cost[reference]
    own_begun, paid_begun = quality_begun[reference], cost_begun[reference]
    return (
        tuple(
            [own + min(a - own, b - own_begun + slack) for a, b in zip(quality, quality_begun, strict=True)]
        ),
        tuple([paid - min(paid - a, paid_begun - b) for a, b in zip(cost, cost_begun, strict=True)]),
        min(coverage, coverage_begun),
    )


def guarded_many(
    whole: tuple[Floats, Floats], begun: tuple[Floats, Floats], reference: int, slack: float = 0.0
) -> tuple[Floats, Floats]:
    """`guarded` for n prompts: quality and cost_usd, each [n, c]."""
    (quality, cost), (quality_begun, cost_begun) = whole, begun
    column = slice(reference, reference + 1)
    own, paid = quality[:, column], cost[:, column]
    own_begun, paid_begun = quality_begun[:, column], cost_begun[:, column]
    return (
        own + np.minimum(quality - own, quality_begun - own_begun + slack),
        paid - np.minimum(paid - cost, paid_begun - cost_begun),
    )
