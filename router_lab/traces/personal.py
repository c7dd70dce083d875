"""Personal data in texts, masked by rule: mail addresses, telephone numbers, IBANs, payment cards,
network addresses, and keys.

Rules find what has a form that can be checked; names, addresses and what people tell of themselves
have none. What is masked is numbered, and one value has one name in all texts of a sample, so that
a question about two addresses is still one about two.
"""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from router_lab.masking import STARS, masker

MAIL = re.compile(r"(?<![\w.+%-])[\w.+%-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}\b")
IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]{4}){2,7}(?:[ -]?[A-Z0-9]{1,4})?\b")
CARD = re.compile(r"(?<![\d.,-])\d(?:[ -]?\d){12,18}(?![\d-])")
ADDRESS_4 = re.compile(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.]*\d)")
ADDRESS_6 = re.compile(r"(?<![\w:])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?![\w:])")
PHONE = re.compile(
    r"(?<![\w.+/-])(?<!\d )(?:\+\d{1,3}[ ./-]?(?:\(0?\d{1,4}\)[ ./-]?)?\d(?:[ ./-]?\d){5,12}"
    r"|\(\d{2,5}\)[ ./-]?\d(?:[ ./-]?\d){4,9}"
    r"|0\d{1,4}[ /-]\d(?:[ -]?\d){4,9}"
    r"|\d{3}[-.]\d{3}[-.]\d{4})(?![\w-])"
)
KEY = re.compile(
    r"\b(?:sk|pk|rk|hf|gsk|xai|pplx|nvapi|tvly|r8|gh[a-z]|github_pat|xox[a-z]|glpat)[-_][-_A-Za-z0-9]{12,}"
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\bAIza[-_A-Za-z0-9]{30,}|\beyJ[-_A-Za-z0-9]{10,}\.[-_A-Za-z0-9.]{10,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]{0,8000}?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
)
LONGEST_SPELLING = 34
"""Characters of an IBAN without blanks, at most."""


def is_iban(text: str) -> bool:
    """ISO 13616: 15 to 34 characters whose rearranged number leaves 1 when divided by 97."""
    plain = re.sub(r"[ -]", "", text)
    if not 15 <= len(plain) <= LONGEST_SPELLING or not plain.isalnum():
        return False
    return int("".join(str(int(c, 36)) for c in plain[4:] + plain[:4])) % 97 == 1


def is_card(text: str) -> bool:
    """13 to 19 digits with the check digit of Luhn, not all the same."""
    digits = [int(c) for c in text if c.isdigit()]
    if not 13 <= len(digits) <= 19 or len(set(digits)) == 1:
        return False
    doubled = [d if at % 2 == 0 else 2 * d - 9 * (d > 4) for at, d in enumerate(reversed(digits))]
    return sum(doubled) % 10 == 0


def is_address(text: str) -> bool:
    """An IP address of a machine: not this one's own, and not all zeros."""
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return False
    return not (found.is_loopback or found.is_unspecified)


def _always(_: str) -> bool:
    return True


RULES: tuple[tuple[str, re.Pattern[str], Callable[[str], bool]], ...] = (
    ("KEY", KEY, _always),
    ("EMAIL", MAIL, _always),
    ("IBAN", IBAN, is_iban),
    ("CARD", CARD, is_card),
    ("IP", ADDRESS_4, is_address),
    ("IP", ADDRESS_6, is_address),
    ("PHONE", PHONE, _always),
)
"""Name, form and check, in the order in which they are looked for: what one has masked the next
does not see."""


@dataclass
class Masked:
    """The mask of one sample: call it with each of its texts. found: how many values were masked,
    by rule."""

    found: Counter[str] = field(default_factory=Counter)
    _names: dict[str, str] = field(default_factory=dict)

    def __call__(self, text: str) -> str:
        for kind, form, check in RULES:
            text = form.sub(lambda match, k=kind, c=check: self._named(k, match[0], c), text)  # type: ignore[misc]
        whole = _KEYS()(text)
        self.found["KEY"] += whole.count(STARS) - text.count(STARS)
        return whole

    def _named(self, kind: str, value: str, check: Callable[[str], bool]) -> str:
        if not check(value):
            return value
        plain = re.sub(r"[\s()./-]", "", value).casefold() if kind != "EMAIL" else value.casefold()
        if plain not in self._names:
            self.found[kind] += 1
            self._names[plain] = f"[{kind}-{self.found[kind]}]"
        return self._names[plain]


class _Keys:
    """The project's own mask of keys, made once: it looks at the environment."""

    def __init__(self) -> None:
        self.mask: Callable[[str], str] | None = None

    def __call__(self) -> Callable[[str], str]:
        self.mask = self.mask or masker()
        return self.mask


_KEYS = _Keys()


def found_in(text: str) -> Iterator[tuple[str, str]]:
    """(rule, value) of everything in a text that the rules would mask."""
    for kind, form, check in RULES:
        yield from ((kind, match[0]) for match in form.finditer(text) if check(match[0]))
