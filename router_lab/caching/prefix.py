"""What prompts share from their first character on, where that ends, and what the end costs."""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from router_lab.caching.sessions import Key, Session, Turn
from router_lab.prices import PriceTable, Rates, Tokens, as_cached, cacheable
from router_lab.runtime.model import Candidate

AROUND = 24
"""Characters on each side of a break that its excerpts show."""


class Part(NamedTuple):
    """A message, or the tools before all messages: whose it is, and its text."""

    role: str
    text: str


class Asked(NamedTuple):
    """One call: of which sample, candidate and turn (from 0), at whose prices; its prompt, tokens
    (None: not reported) and time."""

    key: Key
    candidate: Candidate
    model: str
    turn: int
    parts: tuple[Part, ...]
    tokens: Tokens | None
    started: dt.datetime


class Break(NamedTuple):
    """Where prompts cease to be the same: in which part (from 0) of which role, after how many of
    its characters; what two of them have there; and how many characters behind it they share all
    the same, which a cache can therefore not hold. times: how often it ends there."""

    part: int
    role: str
    character: int
    excerpts: tuple[str, str]
    lost: float
    times: int = 1

    def __str__(self) -> str:
        place = f"part {self.part + 1} ({self.role}), character {self.character + 1:,}"
        return f"{place}: {self.excerpts[0]!r}, elsewhere {self.excerpts[1]!r}"


class Shared(NamedTuple):
    """What prompts of one kind share: characters and tokens of the prefix, on the mean of `pairs`
    of prompts, as a part of a prompt that could be shared; where it ends most often (None: it does
    not); dollars that a cache saves by it, and dollars lost since what is the same behind the break
    must be read anew. Dollars are None where the prices know no cache."""

    pairs: int
    characters: float
    tokens: float
    part: float
    at: Break | None
    saved_usd: float | None
    lost_usd: float | None


class Stable(NamedTuple):
    """A suite's prompts to one candidate: calls, samples, tokens of all prompts, what the first
    prompts of all samples share, and what each turn shares with the one before it (None: no sample
    has a second turn). usd: of all calls without a cache."""

    suite: str
    candidate: Candidate
    calls: int
    samples: int
    tokens: int
    samples_share: Shared | None
    turns_share: Shared | None
    usd: float


def stable(asked: Iterable[Asked], table: PriceTable) -> list[Stable]:
    """For each suite and candidate what its prompts share. Tokens of a part of a prompt are its
    part of the prompt's characters. Raises InputError for a missing price."""
    found: dict[tuple[str, Candidate], list[Asked]] = defaultdict(list)
    for one in asked:
        if one.tokens is not None and _size(one.parts):
            found[one.key[0], one.candidate].append(one)
    return [_stable(suite, who, rows, table) for (suite, who), rows in sorted(found.items())]


def _stable(suite: str, candidate: Candidate, rows: list[Asked], table: PriceTable) -> Stable:
    samples: dict[Key, list[Asked]] = defaultdict(list)
    for row in rows:
        samples[row.key].append(row)
    first = [turns[0] for turns in samples.values()]
    pairs = [pair for turns in samples.values() for pair in pairwise(turns)]
    usd = 0.0
    for row in rows:
        assert row.tokens is not None
        usd += table.rates(row.model, row.started).cost(row.tokens.uncached())
    return Stable(
        suite, candidate, len(rows), len(samples), sum(_prompt(row) for row in rows),
        _among(first, table) if len(first) > 1 else None, _from_turn_to_turn(pairs, table) if pairs else None, usd,
    )  # fmt: skip


def _among(first: Sequence[Asked], table: PriceTable) -> Shared:
    """What all of the prompts share; every one but the first could read it from a cache."""
    prompts = [one.parts for one in first]
    other = min(prompts[1:], key=lambda parts: _common(prompts[0], parts))
    shared = min(_common(prompts[0], parts) for parts in prompts[1:])
    part, character = _place(prompts[0], shared)
    at = _break(prompts[0], other, part, character, _behind(prompts, part, character))
    saved, lost = _dollars([(one, shared, at.lost if at else 0.0) for one in first[1:]], table)
    sizes = [_size(parts) for parts in prompts]
    tokens = sum(shared * _per_character(one) for one in first) / len(first)
    return Shared(len(first) - 1, float(shared), tokens, shared * len(sizes) / sum(sizes), at, saved, lost)


def _from_turn_to_turn(pairs: Sequence[tuple[Asked, Asked]], table: PriceTable) -> Shared:
    """What the later of two prompts has of the one before it."""
    shares: list[int] = []
    lost: list[float] = []
    breaks: Counter[tuple[int, str]] = Counter()
    examples: dict[tuple[int, str], Break] = {}
    for before, after in pairs:
        shared = _common(before.parts, after.parts)
        part, character = _place(before.parts, shared)
        again = _again(before.parts, after.parts, part, character)
        found = _break(before.parts, after.parts, part, character, again)
        shares.append(shared)
        lost.append(0.0 if found is None or shared == _size(before.parts) else again)
        if found is not None and shared < _size(before.parts):
            place = part, found.role
            breaks[place] += 1
            examples.setdefault(place, found)
    saved, gone = _dollars([(b, s, w) for (_, b), s, w in zip(pairs, shares, lost, strict=True)], table)
    tokens = sum(s * _per_character(after) for s, (_, after) in zip(shares, pairs, strict=True))
    could = sum(_size(before.parts) for before, _ in pairs)
    at = None
    if breaks:
        place, times = breaks.most_common(1)[0]
        at = examples[place]._replace(times=times, lost=sum(lost) / len(lost))
    count = len(pairs)
    return Shared(count, sum(shares) / count, tokens / count, sum(shares) / max(could, 1), at, saved, gone)


def _dollars(
    calls: Sequence[tuple[Asked, float, float]], table: PriceTable
) -> tuple[float | None, float | None]:
    """(saved, lost) of calls with the characters that each shares and those that it shares behind
    the break; None where no price of a cache is known, or reading from one is as dear as input."""
    saved = lost = 0.0
    known = False
    for one, shared, behind in calls:
        rates = table.rates(one.model, one.started)
        if one.tokens is None or rates.cache_read is None or rates.cache_read >= rates.input:
            continue
        known = True
        now = _read(one, shared, rates)
        saved += rates.cost(one.tokens.uncached()) - now
        lost += now - _read(one, shared + behind, rates)
    return (saved, lost) if known else (None, None)


def _read(one: Asked, characters: float, rates: Rates) -> float:
    """Dollars of the call where a cache holds so many characters of its prompt. What is written to
    it would be in either case, and is priced as input."""
    assert one.tokens is not None
    held = min(round(characters * _per_character(one)), cacheable(one.tokens, rates))
    held = 0 if held < rates.cache_least_tokens else held
    tokens = as_cached(one.tokens, rates, held)
    plain = tokens.uncached()
    return rates.cost(plain._replace(input=plain.input - tokens.cache_read, cache_read=tokens.cache_read))


def _prompt(one: Asked) -> int:
    return 0 if one.tokens is None else one.tokens.prompt


def _per_character(one: Asked) -> float:
    return _prompt(one) / max(_size(one.parts), 1)


def _size(parts: Sequence[Part]) -> int:
    return sum(len(part.text) for part in parts)


def _common(one: Sequence[Part], other: Sequence[Part]) -> int:
    """Characters that two prompts share from the first on."""
    total = 0
    for a, b in zip(one, other, strict=False):
        if a.role != b.role:
            return total
        if a.text != b.text:
            return total + _alike([a.text, b.text])
        total += len(a.text)
    return total


def _alike(texts: Sequence[str]) -> int:
    """Characters that all texts share from the first on."""
    first, last = min(texts), max(texts)  # whatever these share all between them have
    pairs = enumerate(zip(first, last, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(first), len(last)))


def _place(parts: Sequence[Part], shared: int) -> tuple[int, int]:
    """(part, character in it) after so many characters."""
    for number, part in enumerate(parts):
        if shared < len(part.text):
            return number, shared
        shared -= len(part.text)
    return len(parts), 0


def _break(
    one: Sequence[Part], other: Sequence[Part], part: int, character: int, lost: float
) -> Break | None:
    """None where one prompt is the beginning of the other."""
    if part >= len(one) or part >= len(other):
        return None
    excerpts = [parts[part].text[max(character - AROUND, 0) : character + AROUND] for parts in (one, other)]
    return Break(part, one[part].role, character, (excerpts[0], excerpts[1]), lost)


def _behind(prompts: Sequence[Sequence[Part]], part: int, character: int) -> float:
    """Characters behind a break that all prompts share: at the end of that part, and later parts
    that are the same everywhere."""
    if any(part >= len(parts) for parts in prompts):
        return 0.0
    later = zip(*(parts[part + 1 :] for parts in prompts), strict=False)
    same = sum(len(parts[0].text) for parts in later if len(set(parts)) == 1)
    return float(_tail([parts[part] for parts in prompts], character) + same)


def _again(before: Sequence[Part], after: Sequence[Part], part: int, character: int) -> float:
    """Characters behind a break that the next turn sends again, at whatever place."""
    if part >= len(before) or part >= len(after):
        return 0.0
    kept = Counter(before[part + 1 :]) & Counter(after[part:])
    same = sum(len(one.text) * times for one, times in kept.items())
    tail = 0 if before[part] in kept else _tail([before[part], after[part]], character)
    return float(same + tail)


def _tail(parts: Sequence[Part], character: int) -> int:
    """Characters that parts of one role share at their end, behind that character."""
    if len({part.role for part in parts}) > 1:
        return 0
    return _alike([part.text[character:][::-1] for part in parts])


def assumed(sessions: Iterable[Session], table: PriceTable) -> list[Stable]:
    """The same from calls alone, whose prompts nobody has: each turn is taken to begin with all of
    the prompt before it. What samples share is not known. Raises InputError for a missing price."""
    found: dict[tuple[str, Candidate], list[tuple[Key, Sequence[Turn]]]] = defaultdict(list)
    for session in sessions:
        for candidate, lane in session.lanes.items():
            found[session.key[0], candidate].append((session.key, lane))
    made = []
    for (suite, candidate), lanes in sorted(found.items()):
        # A text as long as the prompt has tokens: one character stands for one token.
        rows = [
            Asked(key, candidate, turn.model, number, (Part("", "x" * turn.tokens.prompt),), turn.tokens, turn.started)
            for key, lane in lanes
            for number, turn in enumerate(lane)
        ]  # fmt: skip
        one = _stable(suite, candidate, rows, table)
        turns = None if one.turns_share is None else one.turns_share._replace(at=None, lost_usd=None)
        made.append(one._replace(samples_share=None, turns_share=turns))
    return made
