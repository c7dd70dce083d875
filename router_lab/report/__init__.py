"""What people see: the candidates' table, the Pareto picture (SVG and terminal) and the report page."""

from router_lab.report.marks import Mark, front_steps
from router_lab.report.svg import pareto_svg
from router_lab.report.table import POOLED, candidate_table, marks_of, pooled, suites_of
from router_lab.report.terminal import format_table, pareto_text

__all__ = [
    "POOLED",
    "Mark",
    "candidate_table",
    "format_table",
    "front_steps",
    "marks_of",
    "pareto_svg",
    "pareto_text",
    "pooled",
    "suites_of",
]
