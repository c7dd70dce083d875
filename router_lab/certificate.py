"""What certificate.json must look like for commands and pages to read it.

A policy decides without its certificate, so the runtime takes any object there; people and gates read it, and an
artifact may be forged with hashes that agree.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from router_lab.runtime.errors import PolicyError

MOST = 1e100
"""No dollars, shares or counts of ours come near it; beyond, arithmetic on pages overflows."""
ROUNDING = 1e-9
Check = Callable[[Any, str], None]


@dataclass(frozen=True)
class Keys:
    """An object with these keys, each null or as its check says; `has` are there, null or not, `needs` are not null.
    Other keys are anything."""

    checks: Mapping[str, Check]
    needs: tuple[str, ...] = ()
    has: tuple[str, ...] = ()

    def __call__(self, value: Any, where: str) -> None:
        if not isinstance(value, dict):
            _refuse(where, value, "is not an object")
        missing = [name for name in self.needs if value.get(name) is None]
        missing += [name for name in self.has if name not in value]
        if missing:
            _refuse(f"{where}.{missing[0]}".lstrip("."), None, "is missing")
        for name, check in self.checks.items():
            if value.get(name) is not None:
                check(value[name], f"{where}.{name}".lstrip("."))


def _is(kinds: type | tuple[type, ...], rule: str, also: Callable[[Any], bool] = lambda value: True) -> Check:
    def check(value: Any, where: str) -> None:
        if not isinstance(value, kinds) or (kinds is not bool and isinstance(value, bool)) or not also(value):
            _refuse(where, value, f"is not {rule}")

    return check


def _each(check: Check) -> Check:
    def all_of(value: Any, where: str) -> None:
        if not isinstance(value, list):
            _refuse(where, value, "is not a list")
        for place, one in enumerate(value):
            check(one, f"{where}[{place}]")

    return all_of


def _by_name(check: Check) -> Check:
    def all_of(value: Any, where: str) -> None:
        if not isinstance(value, dict):
            _refuse(where, value, "is not an object")
        for name, one in value.items():
            check(one, f"{where}.{name}")

    return all_of


def _judged(value: Any, where: str) -> None:
    """What a verdict was judged by: against a floor, or under a budget against a ceiling."""
    budget = isinstance(value, dict) and value.get("unit") == "usd_per_1k"
    names = ("value", "low", "high", "floor", "ceiling")
    checks = {**dict.fromkeys(names, number), "unit": text, "rows": text, "mix": share, "sides": count, **COUNTED}
    Keys(checks | {"confidence": share}, ("unit", "rows", "confidence", "ceiling" if budget else "floor"))(value, where)


def _refuse(where: str, value: Any, rule: str) -> NoReturn:
    told = "" if value is None else f"{value!r:.60} "
    raise PolicyError(
        f"certificate.json: {where or 'the file'}: {told}{rule}, so this certificate cannot be read; "
        "take the artifact from where it was fitted, or fit again"
    )


text, flag = _is(str, "text"), _is(bool, "true or false")
number = _is((int, float), f"a number within ±{MOST:g}", lambda value: -MOST <= value <= MOST)
share = _is((int, float), "a share from 0 to 1", lambda value: -ROUNDING <= value <= 1 + ROUNDING)
count = _is(int, "a whole number of 0 or more", lambda value: 0 <= value <= MOST)
words = _each(text)

FIGURE = Keys(dict.fromkeys(("value", "low", "high", "confidence"), number) | {"n": count, "clusters": count})
COMPARED = {"quality_difference": FIGURE, "savings": FIGURE}
CANDIDATE = {"model": text, "effort": text}
COUNTED = {"n": count, "clusters": count}
SHAPE: dict[str, Check] = {
    **COMPARED, **COUNTED, "certificate_version": count, "verdict": text, "rows": text, "reason": text,
    "action": text, "procedure": text,
    "margin": number, "confidence": share, "mix": share, "mix_forbidden": flag, "escalation": flag,
    "infra_share": share, "unpaired": count, "steps_tested": count, "smallest_margin": number,
    "samples_needed": count, "dollars_needed": number, "assumptions": words, "digests": _by_name(text),
    "rule": Keys({"kind": text, "level": number}),
    "judged": _judged,
    "reference": Keys(CANDIDATE, ("model",), ("effort",)),
    "points": _by_name(
        Keys({"kind": text, "level": number, "confidence": share, "predictor": text, "tradeoff": number,
              "guard": number, "mix": share, "shown": flag})
    ),
    "suites": _by_name(
        Keys({**COMPARED, **COUNTED, "table": Keys({**CANDIDATE, "verdict": text, "p_holm": share,
                                                    "quality_difference": FIGURE})})
    ),
    "fixed": _each(
        Keys(
            {**CANDIDATE, **COMPARED, "quality": number, "cost_usd": number, "cut_off": share},
            ("model",), ("effort", "cost_usd"),
        )
    ),
    "random_mix": Keys(
        {**CANDIDATE, **COMPARED, "probability": share}, ("model", "probability"), tuple(COMPARED)
    ),
    "over_random_mix": FIGURE,
    "escalation_gain": FIGURE,
    "oracle_upper_bound": Keys({"quality": number, "cost_usd": number, "n": count}),
    "test": Keys({**COUNTED, **COMPARED, "rows": text, "skipped": count, "over_random_mix": FIGURE}),
    "unknown_suites": Keys({"coverage": number, "followed": share, "gain": FIGURE, "suites_held_out": count}),
    "requests_not_reproducible": _each(
        Keys({"suite": text, "reason": text, "candidates": _each(_each(_is((str, type(None)), "text or null")))})
    ),
}  # fmt: skip


def check_certificate(certificate: Mapping[str, Any]) -> None:
    """Raises PolicyError for a value that no certificate has there; a key that is not known is left alone."""
    told = certificate.get("quality_difference") is not None
    needs = [*(("n", "clusters") if told else ()), *(("confidence",) if certificate.get("margin") is not None else ())]
    Keys(SHAPE, tuple(needs), ("savings",) if told else ())(dict(certificate), "")
