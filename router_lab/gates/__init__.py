"""Gates: thresholds that a deploy must meet, judged by the verdict rule that certificates use."""

from router_lab.gates.audit import read_audit
from router_lab.gates.judge import carried_prices, refuse_unknown, run_gates
from router_lab.gates.measure import COMPARED, FACTS, MEASURED
from router_lab.gates.result import EXIT, GateReport, Result

__all__ = [
    "COMPARED", "EXIT", "FACTS", "MEASURED", "GateReport", "Result", "carried_prices", "read_audit", "refuse_unknown",
    "run_gates",
]  # fmt: skip
