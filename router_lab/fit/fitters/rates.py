"""Shrunken suite rates alone: the prompt is not looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from router_lab.fit.fitters.blend import Blend
from router_lab.fit.task import Ints, Task


@dataclass(frozen=True)
class SuiteRates(Blend):
    blend: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def tuned(cls, task: Task, folds: Ints, seed: int) -> Self:
        return cls()
