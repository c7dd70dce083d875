"""The named ways to predict; whatever the way, its model compiles to the runtime's few forms."""

from __future__ import annotations

from router_lab.fit.fitters.blend import Blend, SuiteRates
from router_lab.fit.fitters.irt import OneFactor
from router_lab.fit.fitters.knn import Neighbours
from router_lab.fit.model import Fitter

FITTERS: dict[str, type[Fitter]] = {
    "default": Blend,
    "irt": OneFactor,
    "knn": Neighbours,
    "rates": SuiteRates,
}
"""By the name that recipe.yaml uses."""
