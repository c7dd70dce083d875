"""The shadow: who is asked beside the champion, what it may cost, and what the log holds of it."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_lab.runtime.decision import Decision
from router_lab.runtime.decisions import DecisionLog, masked_id, outcome_rows, read_decisions
from router_lab.runtime.errors import InputError, RouterLabWarning
from router_lab.runtime.features import cap_text
from router_lab.runtime.model import Limits
from router_lab.runtime.points import Follow
from router_lab.runtime.policy import Policy
from router_lab.runtime.shadow import CAP, Asked, Shadow, shadow_draw
from router_lab.runtime.store import Challenger, PolicyStore

TEXT = "the quick brown fox"


def two(make_spec: Any, text: str = TEXT) -> tuple[Decision, Decision]:
    """The champion keeps the reference, the challenger asks cheap @ low: $.001 predicted."""
    champion = Policy(make_spec(points={"default": (Follow(100.0, 0.5, 1.0),)}))
    challenger = Policy(make_spec(points={"default": (Follow(100.0, 0.05, 1.0),)}))
    return champion.decide(text), challenger.decide(text)


def asked_of(shadow: Shadow, make_spec: Any, key: str, **more: Any) -> Asked | None:
    champion, challenger = two(make_spec)
    number = shadow._log.write(champion, id=key, **more)
    return shadow.ask(champion, challenger, of=number, key=key, **more)


def most(make_spec: Any) -> float:
    """What one call sets aside."""
    decision = two(make_spec)[1]
    return decision.limits.usd or decision.cost_usd


DEAREST = 0.05
"""Of the limits in dollars of `make_spec`: there must be room for so much, whoever is chosen."""


def room(make_spec: Any, calls: float) -> float:
    """A cap with room for so many calls of the cheap candidate."""
    return DEAREST + (calls - 1) * most(make_spec)


def test_pairs_are_logged_and_read_as_outcomes(make_spec: Any, tmp_path: Path) -> None:
    log = DecisionLog(tmp_path / "week.jsonl", prompts=True)
    shadow = Shadow(log, share=1.0, max_usd=1.0, state=tmp_path / "state")
    asked = asked_of(shadow, make_spec, "a", prompt=TEXT, suite="maths")
    assert asked is not None and str(asked.decision.candidate) == "cheap @ low"
    log.outcome("a", quality=1.0, cost_usd=0.005)
    asked.settle(quality=0.5, cost_usd=0.0004)
    assert shadow.spent_usd == pytest.approx(0.0004)
    served, beside = outcome_rows(log.path)
    assert (served["model"], served["quality"], "shadow" in served) == ("dear", 1.0, False)
    assert (beside["model"], beside["quality"], beside["shadow"], beside["propensity"]) == (
        "cheap",
        0.5,
        True,
        1,
    )
    assert served["sample_id"] == beside["sample_id"]
    assert [row["model"] for row in read_decisions(log.path)] == ["dear"]  # whoever reports knows no shadow
    assert [row.get("of") for row in read_decisions(log.path, shadows=True)] == [None, "a"]


def test_without_prompts_the_pair_has_the_id_of_the_decision(make_spec: Any, tmp_path: Path) -> None:
    log = DecisionLog(tmp_path / "week.jsonl", mask="id")
    asked = asked_of(Shadow(log, share=1.0, max_usd=1.0, state=tmp_path), make_spec, "a")
    assert asked is not None
    log.outcome("a", quality=1.0)
    asked.settle(quality=0.0)
    assert {row["sample_id"] for row in outcome_rows(log.path)} == {masked_id("a")}


def test_the_cap_holds_over_restarts_and_windows(make_spec: Any, tmp_path: Path) -> None:
    """Room for two calls a day: what was settled lower makes room again, and a new process knows of it."""
    now, one = [0.0], most(make_spec)
    log = DecisionLog(tmp_path / "week.jsonl")

    def opened() -> Shadow:
        return Shadow(
            log, share=1.0, max_usd=room(make_spec, 2.5), state=tmp_path / "s", clock=lambda: now[0]
        )

    first = opened()
    calls = [asked_of(first, make_spec, str(i)) for i in range(3)]
    assert [call is None for call in calls] == [False, False, True] and first.passed == {"budget": 1}
    again = opened()
    assert again.spent_usd == pytest.approx(2 * one) and asked_of(again, make_spec, "3") is None
    assert calls[0] is not None and calls[1] is not None
    calls[0].settle(quality=1.0, cost_usd=0.25 * one)
    calls[1].release()
    assert again.spent_usd == pytest.approx(0.25 * one) and asked_of(again, make_spec, "4") is not None
    now[0] += 86_400
    assert again.spent_usd == 0.0 and asked_of(again, make_spec, "5") is not None
    rows = list(read_decisions(log.path, shadows=True))
    assert sum(bool(row.get("shadow")) for row in rows) == 4  # who was not asked has no row


def test_an_answer_that_was_not_settled_counts_in_full(make_spec: Any, tmp_path: Path) -> None:
    shadow = Shadow(DecisionLog(tmp_path / "d.jsonl"), share=1.0, max_usd=1.0, state=tmp_path, per="hour")
    asked = asked_of(shadow, make_spec, "a")
    assert asked is not None
    with pytest.raises(RuntimeError), asked:
        raise RuntimeError("the provider hung up")
    assert shadow.spent_usd == pytest.approx(most(make_spec))
    with pytest.raises(InputError, match="settled already"):
        asked.settle(quality=1.0)
    assert shadow.spent_usd == pytest.approx(most(make_spec))


def test_the_share_is_drawn_by_the_key_alone(make_spec: Any, tmp_path: Path) -> None:
    """Of 400 keys some .25 (four standard errors: .163 to .337), the same ones each time."""
    log = DecisionLog(tmp_path / "d.jsonl")
    champion, challenger = two(make_spec)
    drawn = []
    for turn in range(2):
        shadow = Shadow(log, share=0.25, max_usd=1e6, state=tmp_path / str(turn))
        drawn.append([shadow.ask(champion, challenger, of="x", key=f"{i}") is None for i in range(400)])
    assert drawn[0] == drawn[1] and 65 <= drawn[0].count(False) <= 135


def test_any_key_is_drawn_by_or_passed_over(make_spec: Any, tmp_path: Path) -> None:
    """Messages, as `decide` takes them where it is given no key; what is no key fails no request."""
    champion, challenger = two(make_spec)
    shadow = Shadow(DecisionLog(tmp_path / "d.jsonl"), share=0.5, max_usd=1e6, state=tmp_path / "s")
    for text in map(str, range(20)):
        messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}]
        by_text, by_messages, by_bytes = (
            shadow.ask(champion, challenger, of="x", key=key) is None
            for key in (text, messages, text.encode())
        )
        assert by_text == by_messages == by_bytes
    for odd in (None, object(), [3], {"a": 1}, []):
        assert shadow.ask(champion, challenger, of="x", key=odd) is None
    assert shadow.passed["key"] == 5


def test_one_candidate_of_both_is_logged_and_not_asked(make_spec: Any, tmp_path: Path) -> None:
    champion, _ = two(make_spec)
    log = DecisionLog(tmp_path / "d.jsonl")
    shadow = Shadow(log, share=1.0, max_usd=1.0, state=tmp_path / "s")
    assert shadow.ask(champion, champion, of=log.write(champion, id="a"), key="a") is None
    assert [row.get("same") for row in read_decisions(log.path, shadows=True)] == [None, True]
    assert shadow.spent_usd == 0.0 and not shadow.passed.total()


def test_a_cap_that_is_reached_passes_over_agreement_as_well(make_spec: Any, tmp_path: Path) -> None:
    """Were they logged on, the pairs of the afternoon would all be of no difference."""
    champion, _ = two(make_spec)
    log = DecisionLog(tmp_path / "d.jsonl")
    shadow = Shadow(log, share=1.0, max_usd=0.0, state=tmp_path / "s")
    assert asked_of(shadow, make_spec, "a") is None
    assert shadow.ask(champion, champion, of="a", key="a") is None
    assert [row.get("same") for row in read_decisions(log.path, shadows=True)] == [None]
    assert shadow.passed == {"budget": 2} and shadow.spent_usd == 0.0


def test_a_file_that_somebody_removed_spends_nothing_anew(make_spec: Any, tmp_path: Path) -> None:
    """Room for five calls: three before the file goes, two after."""
    one = most(make_spec)
    shadow = Shadow(
        DecisionLog(tmp_path / "d.jsonl"),
        share=1.0,
        max_usd=room(make_spec, 5.5),
        state=tmp_path / "s",
        clock=lambda: 0.0,
    )
    asked = [asked_of(shadow, make_spec, str(number)) for number in range(3)]
    (tmp_path / "s" / "1970-01-01.jsonl").unlink()
    assert shadow.spent_usd == pytest.approx(3 * one)
    asked += [asked_of(shadow, make_spec, str(number)) for number in range(3, 8)]
    assert [each is not None for each in asked] == [True] * 5 + [False] * 3


def test_torn_lines_and_a_folder_that_cannot_be_written_fail_nothing(make_spec: Any, tmp_path: Path) -> None:
    log = DecisionLog(tmp_path / "d.jsonl")
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "1970-01-01.jsonl").write_bytes(
        b'{"usd": 0.5}\n{"usd": "x"}\n{"usd": NaN}\n{"usd": 1' + b"0" * 400 + b'}\n{"us'
    )
    shadow = Shadow(log, share=1.0, max_usd=1.0, state=tmp_path / "s", clock=lambda: 0.0)
    assert shadow.spent_usd == 0.5
    assert asked_of(shadow, make_spec, "a") is not None
    assert shadow.spent_usd == pytest.approx(0.5 + most(make_spec))
    (tmp_path / "file").write_text("no folder")
    held = Shadow(log, share=1.0, max_usd=1.0, state=tmp_path / "file")
    assert asked_of(held, make_spec, "a") is None and held.passed == {"state": 1}


def test_what_cannot_be_given_back_is_said(make_spec: Any, tmp_path: Path) -> None:
    shadow = Shadow(DecisionLog(tmp_path / "d.jsonl"), share=1.0, max_usd=1.0, state=tmp_path / "s")
    asked = asked_of(shadow, make_spec, "a")
    assert asked is not None
    [file] = (tmp_path / "s").iterdir()
    file.unlink()
    file.mkdir()
    with pytest.warns(RouterLabWarning, match="could not be given back"):
        asked.settle(quality=1.0, cost_usd=0.0)


@pytest.mark.parametrize(
    ("change", "said"),
    [({"share": 0.0}, "share is 0.0"), ({"share": 1.5}, "share is 1.5"), ({"max_usd": -1.0}, "max_usd is -1.0"),
     ({"max_usd": math.inf}, "max_usd is inf"), ({"per": "week"}, "use hour or day")],
)  # fmt: skip
def test_what_cannot_be_is_refused(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        Shadow(DecisionLog(tmp_path / "d"), **({"share": 0.1, "max_usd": 1.0, "state": tmp_path} | change))


def test_a_shadows_line_is_json(make_spec: Any, tmp_path: Path) -> None:
    log = DecisionLog(tmp_path / "d.jsonl", clock=lambda: 7.0)
    asked_of(Shadow(log, share=0.5, max_usd=1.0, state=tmp_path / "s"), make_spec, "2")
    rows = [json.loads(line) for line in log.path.read_text().splitlines()]
    assert [(row.get("shadow"), row.get("share"), row.get("of")) for row in rows[1:]] in (
        [],
        [(True, 0.5, "2")],
    )


def test_near_the_cap_cheap_candidates_are_passed_over_as_dear_ones_are(
    make_spec: Any, tmp_path: Path
) -> None:
    """Calls of $.01 and of $.05 in turn, under $.20: after .01 + .05 + .01 + .05 = .12 there is room for another dear
    one (.13 + .05), which leaves .18; no cheap one is asked then, though .01 would fit."""
    cheap, dear = two(make_spec)[1], two(make_spec)[0]
    assert (cheap.limits.usd, dear.limits.usd) == (0.01, DEAREST)
    shadow = Shadow(DecisionLog(tmp_path / "d.jsonl"), share=1.0, max_usd=0.20, state=tmp_path / "s")
    asked = [
        shadow.ask(champion, challenger, of=str(i), key=str(i)) is not None
        for i, (champion, challenger) in enumerate([(dear, cheap), (cheap, dear)] * 5)
    ]
    assert asked == [True] * 6 + [False] * 4 and shadow.spent_usd == pytest.approx(0.18)


def test_who_is_predicted_at_nothing_is_asked_and_who_is_not_known_is_not(
    make_spec: Any, tmp_path: Path
) -> None:
    """A model of one's own costs nothing; of a default that nobody has measured nothing is known."""
    spec = make_spec(points={"default": (Follow(100.0, 0.05, 1.0),)})
    free = Policy(replace(spec, limits=tuple((Limits(100, 1, 0.0),) * 3 for _ in spec.limits))).decide(TEXT)
    champion = two(make_spec)[0]
    shadow = Shadow(DecisionLog(tmp_path / "d.jsonl"), share=1.0, max_usd=0.0, state=tmp_path / "s")
    asked = shadow.ask(champion, free, of="a", key="a")
    assert asked is not None and asked.usd == 0.0 and not shadow.passed.total()
    bare = PolicyStore(tmp_path / "nothing", default=("spare", None)).decide(TEXT)
    assert shadow.ask(champion, bare, of="b", key="b") is None and shadow.passed == {"unpriced": 1}


@given(st.one_of(st.text(max_size=30), st.binary(max_size=30), st.text(min_size=2100, max_size=2200)))
def test_a_store_and_a_shadow_draw_the_same(key: str | bytes) -> None:
    """Also of a long prompt, of which `decide` looks at a part: the share that a row is written with is that of both."""
    share = 0.5
    drawn = shadow_draw(key)
    assert drawn is not None
    told = Challenger(None, shadow=share, on_shadow=print).tells(key)  # type: ignore[arg-type]
    assert told == (drawn < share)
    whole = key.decode("utf-8", "replace") if isinstance(key, bytes) else key
    assert Challenger(None, 0, share, print).tells(cap_text(whole, CAP)) == (  # type: ignore[arg-type]
        told if isinstance(key, str) else shadow_draw(cap_text(whole, CAP)) < share  # type: ignore[operator]
    )


def test_a_stores_shadow_within_a_budget_is_one_draw_of_one_share(make_spec: Any, tmp_path: Path) -> None:
    """A share of .3 of 300 keys: all that the store tells are asked, and no other is (four standard errors: 58 to 122)."""
    shadow = Shadow(DecisionLog(tmp_path / "d.jsonl"), share=0.3, max_usd=1e6, state=tmp_path / "s")
    now, told = "", []

    def beside(champion: Decision, challenger: Decision) -> None:
        shadow.ask(champion, challenger, of=now, key=now)
        told.append(now)

    rival = PolicyStore(tmp_path / "no rival", default=("spare", None))
    rival._policy = Policy(make_spec(points={"default": (Follow(100.0, 0.05, 1.0),)}))
    store = PolicyStore(
        tmp_path / "none",
        default=("dear", None),
        challenger=Challenger(rival, shadow=shadow, on_shadow=beside),
    )
    for number in range(300):
        now = f"user {number}"
        store.decide(TEXT, key=now)
    rows = [row for row in read_decisions(shadow._log.path, shadows=True) if row.get("shadow")]
    assert 58 <= len(told) <= 122 and [row["of"] for row in rows] == told
    assert {row["share"] for row in rows} == {0.3}
