"""The certificate of a policy as a frozen type, and the one check of what may stand in
certificate.json.

A policy decides without its certificate, so the runtime takes any object there; people and gates
read it through this.
"""

from router_lab.certificate.types import (
    Certificate,
    ChainsLost,
    ChainsShown,
    ChainsTooSlow,
    Compared,
    Diagnostics,
    Explored,
    Figure,
    Fixed,
    Judged,
    Mixed,
    NotReproducible,
    Oracle,
    PointShown,
    RandomMix,
    Reference,
    Refit,
    Rule,
    StageShown,
    SuiteRow,
    TableRow,
    TestSplit,
    TooSlow,
    TwoPhase,
    UnknownSuites,
    Without,
)

__all__ = [
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
    "TwoPhase",
    "UnknownSuites",
    "Without",
]
