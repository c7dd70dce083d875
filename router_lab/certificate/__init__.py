"""The certificate of a policy as a frozen type, and the one check of what may stand in
certificate.json.

A policy decides without its certificate, so the runtime takes any object there; people and gates
read it through this. What it says to deploy, and who of those that a policy uses retires soon, is
said here too.
"""

from router_lab.certificate.advice import Advice, advice, deploy, refused, shown_to_lose, who_mixes
from router_lab.certificate.baselines import Fixed, Mixed, Oracle, RandomMix, Reference
from router_lab.certificate.chained import (
    ChainsLost,
    ChainsShown,
    ChainsTooSlow,
    StageShown,
    TooSlow,
    TurnCaps,
    Without,
    WithoutCalls,
)
from router_lab.certificate.figures import Compared, Figure
from router_lab.certificate.retiring import retiring_soon
from router_lab.certificate.types import (
    Certificate,
    Diagnostics,
    Explored,
    Judged,
    NotReproducible,
    PointShown,
    Refit,
    Rule,
    SuiteRow,
    TableRow,
    TestSplit,
    TwoPhase,
    UnknownSuites,
)

__all__ = [
    "Advice",
    "Certificate",
    "ChainsLost",
    "ChainsShown",
    "ChainsTooSlow",
    "Compared",
    "Diagnostics",
    "Explored",
    "Figure",
    "Fixed",
    "Judged",
    "Mixed",
    "NotReproducible",
    "Oracle",
    "PointShown",
    "RandomMix",
    "Reference",
    "Refit",
    "Rule",
    "StageShown",
    "SuiteRow",
    "TableRow",
    "TestSplit",
    "TooSlow",
    "TurnCaps",
    "TwoPhase",
    "UnknownSuites",
    "Without",
    "WithoutCalls",
    "advice",
    "deploy",
    "refused",
    "retiring_soon",
    "shown_to_lose",
    "who_mixes",
]
