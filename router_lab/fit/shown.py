"""What chains did on left-out rows, for the certificate."""

from __future__ import annotations

import numpy as np

from router_lab.certificate import ChainsShown, StageShown
from router_lab.fit.fitted import Fitted
from router_lab.metrics.paired import Floats


def chains_shown(fitted: Fitted) -> ChainsShown | None:
    """None where no chain is deployed at the default point; who is asked alone, without a cap, is
    in none. Costs that nobody knows are left out of means."""
    made, choice = fitted.cascades, fitted.choices["default"]
    if made is None or not fitted.chained:
        return None
    evidence, candidates = choice.evidence, fitted.problem.develop.candidates
    columns = evidence.alone + np.arange(len(made.tradeoffs))
    weight = choice.mix * (choice.action[:, :, None] == columns).mean(axis=1)

    def mean(values: Floats) -> float:
        return float(np.nansum(weight * values) / len(weight))

    more = made.more
    if not mean(more["led"]):
        return None
    plain, base = choice.paired(), float(np.nanmean(evidence.cost_usd[:, evidence.reference]))
    dearer = mean(more["blind_usd"] - made.cost_usd) / base if base > 0 else 0.0
    signals = {name for table in made.final for chain in table if chain for stage in chain if stage.judge
               for name in stage.judge.signals}  # fmt: skip
    return ChainsShown(
        share=mean(more["led"]), escalated=mean(more["escalated"]), stopped=mean(more["stopped"]),
        signals_usd=mean(more["signals_usd"]), looks_at=made.reading, signals=tuple(sorted(signals)),
        stages=tuple(
            StageShown(
                model=candidate.model, effort=candidate.effort, asked=mean(more[f"asked {j}"]),
                kept=mean(more[f"kept {j}"]), cost_usd=mean(more[f"spent {j}"]),
            )
            for j, candidate in enumerate(candidates)
            if mean(more[f"asked {j}"]) > 0
        ),
        savings_without_signals=plain.saving().value - dearer,
        quality_difference_without_signals=plain.gain().value + mean(more["blind"] - made.quality),
    )  # fmt: skip
