"""What a gate answers: for a person, a machine, a CI server and a pull request."""

from __future__ import annotations

import json
import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from router_lab.certificate import Certificate
from router_lab.columns import aligned, named
from router_lab.gates.audit import JudgeError, Rate
from router_lab.metrics import MIN_CLUSTERS
from router_lab.replay import number
from router_lab.runtime.visible import in_markdown, visible, visible_json

EXIT = {"pass": 0, "fail": 3, "inconclusive": 4}
SYMBOL = {"pass": "✓", "fail": "✗", "inconclusive": "?"}


@dataclass(frozen=True)
class Result:
    """One threshold judged. value, low, high: the figure asked about and its one-sided bounds, in
    `unit`. rows: what the verdict speaks of: `fresh` rows, the `certificate`'s, or None for a fact
    that stands on no rows."""

    name: str
    suite: str | None
    verdict: str
    value: float
    bound: float
    low: float
    high: float
    confidence: float
    n: int
    clusters: int
    reason: str
    samples_needed: int | None = None
    dollars_needed: float | None = None
    rows: str | None = "fresh"

    @property
    def where(self) -> str:
        return "all suites" if self.suite is None else self.suite

    def to_json(self) -> dict[str, Any]:
        """Plain data; numbers that are not finite become null."""
        return {key: number(value) for key, value in asdict(self).items()}


@dataclass(frozen=True)
class GateReport:
    """Every threshold of a gate: `fail` if one fails, else `inconclusive` if one is, else `pass`.

    smallest_margin: the smallest loss of quality against the reference that this many fresh rows
    could have shown absent. date: the day (ISO) that expiry and prices were looked at, so that the
    verdict can be computed again. certificate: the policy's own; deploy: what it says to deploy
    (`certificate.advice`). judges: how audited judges err, by suite. retiring: sentences on who
    retires soon.
    """

    policy: str
    revision: str | None
    champion: str | None
    results: tuple[Result, ...]
    n: int
    smallest_margin: float | None
    date: str | None = None
    certificate: Certificate | None = None
    clusters: int | None = None
    deploy: str | None = None
    judges: tuple[JudgeError, ...] = ()
    retiring: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        words = {r.verdict for r in self.results}
        return (
            "fail" if "fail" in words else "inconclusive" if "inconclusive" in words or not words else "pass"
        )

    @property
    def exit_code(self) -> int:
        """0 pass, 3 fail, 4 inconclusive."""
        return EXIT[self.verdict]

    def to_json(self) -> dict[str, Any]:
        """Plain data; `certificate`: what a machine may hold the verdict beside."""
        shown = self.certificate
        return {
            "policy": self.policy, "revision": self.revision, "champion": self.champion, "verdict": self.verdict,
            "exit_code": self.exit_code, "n": self.n, "smallest_margin": self.smallest_margin,
            "date": self.date, "rows": "fresh", "clusters": self.clusters,
            "certificate": shown and {
                "rows": "certificate", "verdict": shown.verdict, "n": shown.n, "margin": shown.margin,
                "confidence": shown.confidence,
            },
            "deploy": self.deploy,
            "results": [r.to_json() for r in self.results],
            **({"retiring": list(self.retiring)} if self.retiring else {}),
            **({"judges": [_plain(one._asdict()) for one in self.judges]} if self.judges else {}),
        }  # fmt: skip

    def to_text(self) -> str:
        """For a terminal."""
        rows = [
            (f"{SYMBOL[r.verdict]} {named(r.name)}", f"{named(r.where)}: {r.verdict}; {r.reason}")
            for r in self.results
        ]
        return "\n".join([*aligned(rows, texts=(0, 1)), "", *map(visible, self._summary())])

    def to_markdown(self) -> str:
        """For a pull request."""
        rows = [
            f"| {SYMBOL[r.verdict]} {r.verdict} | {' | '.join(map(in_markdown, (r.name, r.where, r.reason)))} |"
            for r in self.results
        ]
        head = ["| | gate | suite | reason |", "|---|---|---|---|"]
        below = self._summary(in_markdown)
        return "\n".join([f"### Gate: {self.verdict}", "", *head, *rows, "", *below, ""])

    def to_junit(self) -> bytes:
        """JUnit XML: a failed gate is a failure, an inconclusive one an error, so that CI stops at
        both."""
        failed, unsure = self._count("fail"), self._count("inconclusive")
        counts = {"tests": str(len(self.results)), "failures": str(failed), "errors": str(unsure)}
        root = ElementTree.Element("testsuites", {"name": "router-lab gate", **counts})
        suite = ElementTree.SubElement(root, "testsuite", {"name": visible(self.policy), **counts})
        for r in self.results:
            case = {"classname": visible(f"{self.policy}.{r.where}"), "name": visible(r.name), "time": "0"}
            element = ElementTree.SubElement(suite, "testcase", case)
            if r.verdict != "pass":
                kind = "failure" if r.verdict == "fail" else "error"
                note = ElementTree.SubElement(
                    element, kind, {"message": visible(r.reason), "type": r.verdict}
                )
                note.text = visible_json(json.dumps(r.to_json(), ensure_ascii=False))
        ElementTree.indent(root)
        return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"

    def _count(self, word: str) -> int:
        return sum(r.verdict == word for r in self.results)

    def _beside(self, written: Callable[[str], str]) -> list[str]:
        """What the certificate says, where its verdict is another one than this: the two speak of
        different rows."""
        shown = self.certificate
        if shown is None or shown.verdict in (None, self.verdict):
            return []
        return [
            f"The certificate says {written(_sentence(shown))}: that is about its own {shown.counted}, left out fold "
            "by fold; the verdict here is about fresh rows unless a line says `certified`"
        ]

    def _summary(self, written: Callable[[str], str] = str) -> list[str]:
        """`written`: how text from outside is put."""
        lines = [
            f"{written(self.policy)}: {self.verdict} ({self._count('pass')} passed, {self._count('fail')} failed, "
            f"{self._count('inconclusive')} inconclusive) on {self.n:,} fresh rows, which the fit has not used",
            *self._beside(written),
            *(_judged(one, written) for one in self.judges),
            *([] if self.deploy is None else [f"What to deploy, by the certificate: {written(self.deploy)}"]),
            *(f"Warning: {written(text)}" for text in self.retiring),
        ]
        if self.smallest_margin is not None and math.isfinite(self.smallest_margin):
            nothing = self.smallest_margin >= 1 or (
                self.clusters is not None and self.clusters < MIN_CLUSTERS
            )
            least = "none, they are too few" if nothing else f"{100 * self.smallest_margin:.1f} points"
            lines.append(f"Smallest margin that these {self.n:,} rows alone could certify: {least}")
        needed = [r.samples_needed for r in self.results if r.verdict == "inconclusive" and r.samples_needed]
        if needed:
            dollars = [
                r.dollars_needed for r in self.results if r.samples_needed == max(needed) and r.dollars_needed
            ]
            cost = f" (about ${dollars[0]:,.2f})" if dollars else ""
            lines.append(f"To settle what is inconclusive: about {max(needed):,} more samples{cost}")
        return lines


def _sentence(shown: Certificate) -> str:
    held = "" if shown.margin is None else f", to lose at most {100 * shown.margin:.1f} points"
    sure = "" if shown.confidence is None else f" with confidence {shown.confidence:.2f}"
    return f"{shown.verdict}{held}{sure}"


def _judged(one: JudgeError, written: Callable[[str], str]) -> str:
    """How a judge errs, in a sentence."""
    passed, failed = (_share(rate) for rate in (one.false_pass, one.false_fail))
    return (
        f"The judge of {written(one.suite)}: passes {passed} answers that people failed, fails {failed} that people "
        "passed; qualities are corrected by its error and their intervals widened"
    )


def _share(rate: Rate) -> str:
    if not rate.n:
        return "? % (none audited) of"
    known = "" if math.isnan(rate.low) else f" ({100 * rate.low:.0f} to {100 * rate.high:.0f} %)"
    return f"{100 * rate.value:.0f} %{known} of {rate.n:,}"


def _plain(tree: Any) -> Any:
    """Named tuples as mappings, numbers that are not finite as null."""
    if isinstance(tree, Rate):
        return _plain(tree._asdict())
    if isinstance(tree, dict):
        return {key: _plain(value) for key, value in tree.items()}
    return number(tree)
