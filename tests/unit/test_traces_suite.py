"""Personal data masked by rule, and samples drawn by weight: by hand, and for any weights."""

from __future__ import annotations

import csv
import io
import json
import math
import runpy
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from router_lab.prices import Tokens
from router_lab.runtime.errors import InputError
from router_lab.traces import Message, Priced, ToolUse, TracedCall
from router_lab.traces.draw import allotted, draw_samples, inclusion, systematic, why_not
from router_lab.traces.personal import Masked, found_in, is_card, is_iban
from router_lab.traces.suitefiles import audited, incumbents, write_suite


@pytest.mark.parametrize(
    ("text", "masked"),
    [("write to ann.lee+x@mail.example.com, now", "write to [EMAIL-1], now"),
     ("a@b.de and c@d.de and A@b.de", "[EMAIL-1] and [EMAIL-2] and [EMAIL-1]"),
     ("IBAN DE89 3704 0044 0532 0130 00.", "IBAN [IBAN-1]."),
     ("GB82WEST12345698765432", "[IBAN-1]"),
     ("DE89 3704 0044 0532 0130 01", "DE89 3704 0044 0532 0130 01"),
     ("card 4111 1111 1111 1111!", "card [CARD-1]!"),
     ("card 4111-1111-1111-1112", "card 4111-1111-1111-1112"),
     ("from 203.0.113.7 to 2001:db8::ff00:42:8329", "from [IP-1] to [IP-2]"),
     ("version 1.2.3, at 10:30:15, 127.0.0.1, 300.1.1.1", "version 1.2.3, at 10:30:15, 127.0.0.1, 300.1.1.1"),
     ("call +49 (0)30 1234567 or (030) 123 456", "call [PHONE-1] or [PHONE-2]"),
     ("call 555-123-4567", "call [PHONE-1]"),
     ("in 2026, order 12345678, $1,234.56, 2026-10-01", "in 2026, order 12345678, $1,234.56, 2026-10-01"),
     ("key sk-abcdefghijklmnop1234 it is", "key [KEY-1] it is"),
     ("Authorization: Bearer abcdefgh12345678", "Authorization: ***"),
     ("AKIAABCDEFGHIJKLMNOP", "[KEY-1]")],
)  # fmt: skip
def test_what_has_a_form_is_masked(text: str, masked: str) -> None:
    assert Masked()(text) == masked


def test_a_sample_has_one_name_for_one_value() -> None:
    mask = Masked()
    assert mask("ann@x.example") == "[EMAIL-1]" == mask("Ann@x.example")
    assert mask("bob@x.example") == "[EMAIL-2]" and mask.found == Counter(EMAIL=2)
    assert list(found_in("a@b.de 203.0.113.7")) == [("EMAIL", "a@b.de"), ("IP", "203.0.113.7")]


@given(st.integers(10**11, 10**17))
def test_of_ten_check_digits_one_makes_a_card(number: int) -> None:
    assert sum(is_card(f"{number}{digit}") for digit in range(10)) == 1


@given(st.from_regex(r"[A-Z0-9]{11,30}", fullmatch=True))
def test_of_all_check_numbers_one_or_two_make_an_iban(body: str) -> None:
    """97 residues over the hundred numbers of two digits."""
    assert sum(is_iban(f"DE{number:02d}{body}") for number in range(100)) in (1, 2)


@given(st.text(max_size=300))
@settings(deadline=None)
def test_any_text_can_be_masked_and_stays_masked(text: str) -> None:
    once = Masked()(text)
    assert not any(value in once for kind, value in found_in(text) if kind == "EMAIL")
    assert not [value for kind, value in found_in(once) if kind in ("EMAIL", "CARD", "IBAN")]


WEIGHTS = st.lists(st.floats(0.001, 1e6), min_size=1, max_size=40)


@given(WEIGHTS, st.integers(1, 40), st.integers(0, 99))
@settings(deadline=None)
def test_as_many_are_drawn_as_asked_each_by_its_weight(weights: list[float], number: int, seed: int) -> None:
    number = min(number, len(weights))
    chances = inclusion(np.array(weights), number)
    assert chances.sum() == pytest.approx(number) and (chances <= 1 + 1e-12).all() and (chances > 0).all()
    free = chances < 1
    if free.sum() > 1:  # in proportion, where nothing is certain
        ratio = (chances / np.array(weights))[free]
        assert ratio == pytest.approx(ratio[0])
    drawn = systematic(chances, np.random.default_rng(seed))
    assert len(drawn) == number and set(np.flatnonzero(~free)) <= set(drawn)


@given(
    st.dictionaries(st.text(max_size=3), st.tuples(st.floats(0, 1e6), st.integers(1, 30)), min_size=1),
    st.integers(1, 60),
)
@settings(deadline=None)
def test_routes_share_the_samples(routes: dict[str, tuple[float, int]], count: int) -> None:
    weight, most = ({r: pair[at] for r, pair in routes.items()} for at in (0, 1))
    count = min(count, sum(most.values()))
    found = allotted(weight, most, count)  # type: ignore[arg-type]
    assert sum(found.values()) == count and all(found[r] <= most[r] for r in routes)
    assert count < len(routes) or min(found.values()) >= 1


def test_routes_share_by_weight_by_hand() -> None:
    """Of 10 samples .6 and .3 and .1; one route has but two requests, and the others share what it cannot take."""
    assert allotted({"a": 6.0, "b": 3.0, "c": 1.0}, {"a": 99, "b": 99, "c": 99}, 10) == {
        "a": 6,
        "b": 3,
        "c": 1,
    }
    assert allotted({"a": 6.0, "b": 3.0}, {"a": 2, "b": 99}, 6) == {"a": 2, "b": 4}
    assert allotted({"a": 1.0, "b": 3.0, "c": 2.0}, {"a": 9, "b": 9, "c": 9}, 2) == {"a": 0, "b": 1, "c": 1}


def asked(text: str, usd: float | None = 1.0, answer: str | None = "yes", **more: Any) -> Priced:
    said = answer and Message("assistant", answer)
    fields: dict[str, Any] = {
        "messages": (Message("user", text),), "answer": said, "tokens": Tokens(input=9), **more
    }  # fmt: skip
    return Priced(TracedCall("f", "line 1", fields.pop("model", "m"), **fields), usd, None, "source")


def test_how_often_a_request_is_drawn_follows_its_dollars() -> None:
    """Of weights 1, 1 and 2, one drawn: half of the times the dear one; give or take three standard errors of 400."""
    calls = [asked("one?"), asked("two?"), asked("three?", 2.0)]
    drawn = Counter(
        draw_samples(calls, 1, seed=seed).samples[0].messages[0]["content"] for seed in range(400)
    )
    assert abs(drawn["three?"] / 400 - 0.5) < 3 * math.sqrt(0.25 / 400)
    by_count = Counter(
        draw_samples(calls, 1, seed=seed, by="counts").samples[0].messages[0]["content"]
        for seed in range(400)
    )
    assert abs(by_count["three?"] / 400 - 1 / 3) < 3 * math.sqrt(2 / 9 / 400)


def test_repeats_are_one_sample_with_the_latest_answer() -> None:
    calls = [
        asked("Mail a@b.de?", 1.0, "to a@b.de"),
        asked("Mail a@b.de?", 3.0, "to a@b.de now"),
        asked("Other?", 4.0),
    ]
    draw = draw_samples(calls, 9)
    first, second = draw.samples
    assert (first.messages, first.answer) == (
        ({"role": "user", "content": "Mail [EMAIL-1]?"},),
        "to [EMAIL-1] now",
    )
    assert (first.times, first.usd, first.weight, second.weight) == (2, 4.0, 1.0, 1.0)
    assert (first.id, second.id, draw.masked) == ("t00001", "t00002", Counter(EMAIL=1))


def test_what_calls_come_down_to_is_told() -> None:
    """Eleven calls: one failed, three are one request, of which another asks the like; six others."""
    like = "Where is the parcel that was sent to me on the third of the month, and when will it come? Number "
    others = [
        asked(f"{word}?") for word in ("Why", "How much", "Since when", "For whom", "Until when", "Where")
    ]
    calls = [*(asked(like + "17") for _ in range(3)), asked(like + "18"), *others, asked("x", error="down")]
    assert draw_samples(calls, 9).told(11) == (
        "11 calls, 10 usable: 8 different requests, all of them samples, 7 groups of near-duplicates; left out 1 × it failed"
    )
    assert draw_samples(others, 9).told(6) == (
        "6 calls, 6 usable: 6 different requests, all of them samples, no two alike"
    )
    assert ": 8 different requests, 2 drawn, " in draw_samples(calls, 2).told(11)


@pytest.mark.parametrize(
    ("more", "why"),
    [({"error": "down"}, "it failed"), ({"finish": "length"}, "cut off"), ({"messages": ()}, "no text of the request"),
     ({"behind": (ToolUse("t"),)}, "calls tools"), ({"answer": None}, "keeps no answer"),
     ({"messages": (Message("user", "a"), Message("tool", "b"))}, "calls tools"),
     ({"messages": (Message("user", "a" * 200_001),)}, "longer than")],
)  # fmt: skip
def test_what_cannot_be_a_sample_says_why(more: dict[str, Any], why: str) -> None:
    one = asked("x?", **more)
    assert why in (why_not(one) or "")
    with pytest.raises(InputError, match=r"no call can be a sample: 1 × "):
        draw_samples([one], 5)


def test_a_suite_is_a_folder_that_says_what_it_is(tmp_path: Path) -> None:
    calls = [
        asked(f"Question {at} of {word}?", route=word, model="gpt-5")
        for at in range(3)
        for word in ("a", "b")
    ]
    draw = draw_samples(calls, 4, seed=3)
    names = incumbents(draw, calls, {})
    assert names == ["openai/gpt-5"]
    sweep = write_suite(
        tmp_path / "s", "s", draw, calls=6, seed=3, by="dollars", audit=2, grader="acme/judge", incumbents=names
    )  # fmt: skip
    read = yaml.safe_load(sweep.read_text())
    assert (read["models"], read["suites"]) == (["openai/gpt-5"], ["s"])
    assert yaml.safe_load((tmp_path / "s/suites.yaml").read_text())["s"]["args"] == {"grader": "acme/judge"}
    rows = [json.loads(line) for line in (tmp_path / "s/data.jsonl").read_text().splitlines()]
    assert len(rows) == 4 and {row["route"] for row in rows} == {"a", "b"}
    told = list(csv.DictReader(io.StringIO((tmp_path / "s/audit.csv").read_text())))
    assert len(told) == 2 and {row["sample_id"] for row in told} <= {row["id"] for row in rows}
    with pytest.raises(InputError, match="is not empty"):
        write_suite(
            tmp_path / "s", "s", draw, calls=6, seed=3, by="dollars", audit=2, grader=None, incumbents=names
        )  # fmt: skip


ENDS = "\u2028\u2029\x85\x0c\x1e\r"


def test_the_task_reads_what_was_asked_whatever_ends_a_line_elsewhere(tmp_path: Path) -> None:
    """Text in JSON, and ends of lines for Python's `splitlines`."""
    calls = [asked(f"one{end}two", answer=f"=1{end}2") for end in ENDS]
    draw = draw_samples(calls, 9)
    write_suite(
        tmp_path / "s", "s", draw, calls=6, seed=0, by="counts", audit=6, grader="x", incumbents=["a/b"]
    )
    task = runpy.run_path(str(tmp_path / "s/task.py"))["traffic"](grader="mockllm/model")
    assert sorted(one.input for one in task.dataset) == sorted(one.call.prompt for one in calls)
    told = list(csv.DictReader(io.StringIO((tmp_path / "s/audit.csv").read_bytes().decode(), newline="")))
    assert len(told) == 6 and all(row["reference"].startswith("'=1") for row in told)


def test_an_audit_takes_a_group_twice_only_when_it_must() -> None:
    samples = draw_samples(
        [asked("Same thing?", route=route) for route in "abc"] + [asked("Other?")], 9
    ).samples
    assert len({one.group for one in samples}) == 2
    assert len({one.group for one in audited(samples, 2, 0)}) == 2
    assert len(audited(samples, 9, 0)) == 4
