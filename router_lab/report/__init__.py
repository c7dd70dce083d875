"""What people see: the candidates' table, the Pareto picture (SVG and terminal) and the report
page."""

from router_lab.report.effort import effort_table, effort_text
from router_lab.report.marks import Mark, front_steps
from router_lab.report.page import report_html
from router_lab.report.pareto_page import front_svg, moved, pareto_html
from router_lab.report.policy import policy_marks
from router_lab.report.svg import pareto_svg
from router_lab.report.table import POOLED, candidate_table, marks_of, pooled, suites_of
from router_lab.report.terminal import format_table, pareto_text
from router_lab.report.verdicts import Asked, candidate_verdicts
from router_lab.report.verdicts_page import verdicts_data, verdicts_text

__all__ = [
    "POOLED",
    "Asked",
    "Mark",
    "candidate_table",
    "candidate_verdicts",
    "effort_table",
    "effort_text",
    "format_table",
    "front_steps",
    "front_svg",
    "marks_of",
    "moved",
    "pareto_html",
    "pareto_svg",
    "pareto_text",
    "policy_marks",
    "pooled",
    "report_html",
    "suites_of",
    "verdicts_data",
    "verdicts_text",
]
