"""`router-lab caches`: what prompts share, where that ends, and what switching models in a session
costs."""

from __future__ import annotations

import warnings
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from router_lab.cli.common import EXISTING_FOLDER, FILE, echo, json_option, open_policy, print_json, step
from router_lab.cli.places import Place
from router_lab.cli.prices import price_file
from router_lab.runtime.errors import InputError, RouterLabWarning

if TYPE_CHECKING:
    import pandas as pd

    from router_lab.caching.billing import Lifetime
    from router_lab.caching.policies import Compared
    from router_lab.caching.prefix import Shared, Stable
    from router_lab.caching.sessions import Session
    from router_lab.prices import PriceTable
    from router_lab.runtime.policy import Policy


class _Lifetime(click.ParamType):  # type: ignore[type-arg]  # older clicks have none
    """`5m`, `1h`, or seconds of one's own."""

    name = "5m|1h|SECONDS"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Lifetime:
        from router_lab.caching.billing import FIVE_MINUTES, HOUR, Lifetime

        if value in ("5m", "1h"):
            return FIVE_MINUTES if value == "5m" else HOUR
        try:
            seconds = float(value)
        except ValueError:
            seconds = -1.0
        if not seconds >= 0:
            self.fail(f"{value!r} is not 5m, 1h or a number of seconds, 0 or more.", param, ctx)
        return Lifetime(seconds, hour=seconds > FIVE_MINUTES.seconds)


@click.command()
@click.argument(
    "sources", metavar="SOURCE…", nargs=-1, required=True, type=Place(beside=("outcomes.parquet",))
)
@click.option("--policy", "folder", type=EXISTING_FOLDER, help="Compare ways of switching under this policy.")
@click.option("--point", help="An operating point of the policy; by default its own.")
@click.option(
    "--prices", type=FILE, help="prices.yaml; default: what the sweep was run with, else evals/prices.yaml."
)
@click.option(
    "--ttl",
    type=_Lifetime(),
    default="5m",
    show_default=True,
    help="How long a cache is kept after each use; above 5m written at the price of an hour, 0 = no cache.",
)
@json_option
def caches(
    sources: tuple[Path, ...], folder: Path | None, point: str | None, prices: Path | None, ttl: Lifetime,
    as_json: bool,
) -> None:  # fmt: skip
    """What the prompts of SOURCE share, where that ends, and what it costs.

    SOURCE is a folder of .eval logs, a log, or one calls.parquet (whose prompts nobody has: then
    each turn is taken to begin with all of the one before).

    \b
    samples    of a prompt the part that the first prompts of all samples begin with
    turns      of a prompt the part that the next turn begins with
    saved      dollars that a cache saves by both, of `dollars` without one
    lost       dollars more that it would save, if the same text behind the break came before it

    With --policy: what sessions cost if one candidate serves all turns (pinned), if each turn is
    served by whom the policy chooses for it alone (free), if it switches only where no cache is
    warm (boundaries), and if it is told who serves and what is cached (policy).
    """
    if point is not None and folder is None:
        raise click.UsageError("--point needs --policy: it names one of a policy's operating points")
    policy = None if folder is None else open_policy(folder)
    with step(f"reading {len(sources)} source{'s' * (len(sources) > 1)}"):
        found = _read(sources, prices, whole=policy is not None)
    compared, used = None, False
    if policy is not None:
        compared, used = _compared(policy, found, ttl, point)
    if as_json:
        print_json(_json(found.stable, compared, used))
        return
    _show(found.stable)
    if compared is not None and policy is not None:
        _show_ways(compared, policy.spec.name, ttl, used)


class _Read(NamedTuple):
    stable: list[Stable]
    sessions: list[Session]
    outcomes: pd.DataFrame | None
    table: PriceTable


def _read(sources: tuple[Path, ...], prices: Path | None, *, whole: bool) -> _Read:
    """Of logs or of one calls table; the sessions and outcomes only if they are asked for
    (`whole`)."""
    from router_lab.caching.prefix import assumed, stable
    from router_lab.caching.sessions import sessions_of
    from router_lab.outcomes import read_calls, read_outcomes
    from router_lab.prices import PriceTable

    if any(source.suffix == ".parquet" for source in sources):
        if len(sources) > 1:
            raise InputError(f"{sources[0]}: of tables one is read at a time: name it alone, or name logs")
        table, beside = PriceTable.load(price_file(prices)), sources[0].with_name("outcomes.parquet")
        sessions = sessions_of(read_calls(sources[0]))
        if not whole:
            return _Read(assumed(sessions, table), sessions, None, table)
        if not beside.is_file():
            raise InputError(
                f"{beside}: not there; --policy needs the outcomes beside the calls, for their prompts: "
                "`router-lab collect` writes both, or name the logs"
            )
        outcomes = read_outcomes(beside)
        return _Read(assumed(sessions, table), _asked_with_prompts(sessions, outcomes), outcomes, table)
    from router_lab.collect import collect
    from router_lab.collect.prompts import prompts_of, table_of

    table = table_of(sources, prices, price_file(None))
    asked, texts = prompts_of(sources)
    if not asked:
        raise InputError(f"{sources[0]}: no log there holds a model call; name a folder of .eval logs")
    if not whole:
        return _Read(stable(asked, table), [], None, table)
    outcomes, calls = collect(sources, prices=table, answers=False)
    return _Read(stable(asked, table), sessions_of(calls, texts), outcomes, table)


def _asked_with_prompts(sessions: list[Session], outcomes: pd.DataFrame) -> list[Session]:
    """Every turn asked with the sample's own question, since calls hold no texts."""
    known = outcomes.dropna(subset=["prompt"])
    prompts = dict(zip(zip(known["suite"], known["sample_id"], strict=True), known["prompt"], strict=True))
    return [
        one._replace(
            lanes={
                who: tuple(turn._replace(text=str(prompts.get(one.key[:2], ""))) for turn in lane)
                for who, lane in one.lanes.items()
            }
        )
        for one in sessions
    ]


def _compared(policy: Policy, found: _Read, ttl: Lifetime, point: str | None) -> tuple[Compared, bool]:
    from router_lab.caching.evidence import unused
    from router_lab.caching.policies import compare

    assert found.outcomes is not None
    sessions, used = unused(policy, found.sessions, found.outcomes)
    if not sessions:
        raise InputError(f"policy {policy.spec.name!r}: the sources hold no session of its candidates")
    _warn_of_other_prices(policy, sessions, found.table)
    with step(f"playing {len(sessions)} sessions"):
        return compare(policy, sessions, found.table, ttl, point=point), used


def _warn_of_other_prices(policy: Policy, sessions: list[Session], table: PriceTable) -> None:
    """Say where the policy weighs a switch by other prices than sessions are billed at."""
    known = {profile.candidate: profile.prices for profile in policy.spec.profiles}
    used = {who: lane[0] for one in sessions for who, lane in one.lanes.items() if who in known and lane}
    for who, turn in sorted(used.items()):
        own, rates = known[who], table.rates(turn.model, turn.started)
        if own is not None and (own.input, own.cache_read) != (rates.input, rates.cache_read):
            text = (
                f"policy {policy.spec.name!r} was fitted at other prices of {who.model} than sessions are billed at "
                f"(input {own.input:g}, here {rates.input:g}); its rule weighs a switch by its own"
            )
            warnings.warn(RouterLabWarning(text), stacklevel=2)


def _json(found: list[Stable], compared: Compared | None, used: bool) -> dict[str, Any]:
    def shared(one: Shared | None) -> dict[str, Any] | None:
        if one is None:
            return None
        return {**one._asdict(), "at": None if one.at is None else one.at._asdict()}

    rows = [
        {
            **one._asdict(),
            "candidate": one.candidate.named(),
            "samples_share": shared(one.samples_share),
            "turns_share": shared(one.turns_share),
        }
        for one in found
    ]
    ways = None if compared is None else {**compared.to_json(), "rows": "in-sample" if used else "fresh"}
    return {"prompts": rows, "policy": ways}


def _show(found: list[Stable]) -> None:
    from router_lab.columns import aligned
    from router_lab.report.format import money, percent

    head = ("suite", "candidate", "calls", "tokens", "samples", "turns", "dollars", "saved", "lost")
    rows: list[tuple[str, ...]] = [head]
    for one in found:
        both = [part for part in (one.samples_share, one.turns_share) if part is not None]
        parts = [percent(part.part, 0) if part else "–" for part in (one.samples_share, one.turns_share)]
        sums = [
            None if all(usd is None for usd in each) else sum(usd or 0.0 for usd in each)
            for each in ([part.saved_usd for part in both], [part.lost_usd for part in both])
        ]
        rows.append((one.suite, str(one.candidate), f"{one.calls:,}", f"{one.tokens:,}", *parts,
                     money(one.usd), *("–" if usd is None else money(usd) for usd in sums)))  # fmt: skip
    echo(*aligned(rows, texts=(0, 1)))
    for line, names in _breaks(found).items():
        whom = names[0] if len(names) == 1 else f"{len(names)} candidates"
        echo(f"{whom}: {line}")
    known = [part.saved_usd for one in found for part in (one.samples_share, one.turns_share) if part]
    if all(usd is None for usd in known):
        echo("saved, lost: – where the prices name no cache that is cheaper than input (--prices FILE)")


def _breaks(found: list[Stable]) -> dict[str, list[str]]:
    """Where prefixes end, in words, and of whom that is true."""
    from router_lab.caching.prefix import AROUND

    lines: dict[str, list[str]] = defaultdict(list)
    for one in found:
        for what, shared in (("all samples", one.samples_share), ("turns", one.turns_share)):
            if shared is None or shared.at is None:
                continue
            often = f", in {shared.at.times:,} of {shared.pairs:,} pairs," if what == "turns" else ""
            same = (
                f"; behind it {shared.at.lost:,.0f} characters are the same"
                if shared.at.lost >= AROUND
                else ""
            )
            said = f"{one.suite}: what {what} share ends{often} in {shared.at}{same}"
            lines[said].append(str(one.candidate))
    return lines


def _show_ways(compared: Compared, name: str, ttl: Lifetime, used: bool) -> None:
    from router_lab.caching.policies import CLOSE
    from router_lab.columns import aligned
    from router_lab.report.format import money, percent

    sample = "in-sample: no evidence" if used else "fresh: the fit did not use them"
    echo(
        "",
        f"policy {name} on {compared.sessions:,} sessions of {compared.turns:,} turns ({sample}), each the mean of a "
        f"session; a cache is kept for {ttl.seconds:g} s",
    )
    rows = [("", "dollars", "switches", "read", "written", "input", "quality")]
    rows += [
        (way, money(one.usd), f"{one.switches:.2f}", f"{one.read:,.0f}", f"{one.written:,.0f}", f"{one.fresh:,.0f}",
         f"{one.quality:.3f}")
        for way, one in compared.ways.items()
    ]  # fmt: skip
    echo(*aligned(rows, texts=(0,)))
    more, word = compared.excess, "dearer" if compared.excess >= 0 else "cheaper"
    verdict = "within" if more <= CLOSE else "more than"
    echo(
        f"the policy's rule is {percent(abs(more))} {word} than the better of pinned and free: {verdict} {100 * CLOSE:.0f} %"
    )
    if compared.left_out or compared.beyond:
        echo(
            f"left out: {compared.left_out:,} sessions of fewer than two turns of every candidate in play, and "
            f"{compared.beyond:,} turns that only some of them have"
        )
