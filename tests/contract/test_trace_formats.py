"""What every format of traces must hold: parametrized over FORMATS and the synthetic exports of each."""

from __future__ import annotations

import gzip
import json
import os
from collections import Counter
from pathlib import Path

import pytest

from router_lab.cli.traces import FORMATS as OFFERED
from router_lab.runtime.errors import InputError, RouterLabWarning
from router_lab.traces import FORMATS, Traces, price_calls, read_traces
from router_lab.traces.records import records_of
from tests.trace_exports import (
    ANSWER,
    EXPORTS,
    FIRST,
    MODEL,
    NANOS,
    QUESTION,
    SECOND,
    START,
    prices,
    write,
    write_parquet,
)


def check(traces: Traces, named: str) -> None:
    """Both calls, by hand."""
    first, second = traces.calls
    assert (first.model, first.route, first.session, first.error) == (MODEL, "support", "s1", None)
    assert (first.prompt, first.answer and first.answer.text, first.done) == (QUESTION, ANSWER, True)
    assert first.tokens is not None and first.tokens.prompt == 1_000_000
    assert first.tokens[:5] == (600_000, 400_000, 0, 0, 100_000)
    assert first.started is not None and first.started.isoformat() == "2026-10-01T08:00:00+00:00"
    assert first.seconds == 2
    assert (second.error, second.failed, second.tokens and second.tokens.prompt) == ("timeout", True, 500_000)
    assert [key for key, value in first.metadata.items() if value == "kept" and key.endswith("my_own")]
    priced, lacking = price_calls(traces.calls, prices())
    assert [one.usd for one in priced] == pytest.approx([FIRST, SECOND]) and lacking == {}
    assert priced[0].read == pytest.approx(1.4)
    assert set(traces.formats.values()) == {named} and traces.problems == ()


@pytest.mark.parametrize("name", EXPORTS)
def test_an_export_is_told_by_its_content_and_read_to_the_cent(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, name)
    check(read_traces([path]), EXPORTS[name][0])
    check(read_traces([path], format=EXPORTS[name][0]), EXPORTS[name][0])


def test_a_parquet_of_spans_is_read_as_its_lines_are(tmp_path: Path) -> None:
    check(read_traces([write_parquet(tmp_path)]), "phoenix")


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_has_an_export_and_an_option(name: str) -> None:
    assert any(of == name for of, _, _ in EXPORTS.values())
    assert name in OFFERED and FORMATS[name].what


@pytest.mark.parametrize("name", EXPORTS)
def test_no_other_format_claims_a_record_before_its_own(tmp_path: Path, name: str) -> None:
    records, _ = records_of(write(tmp_path, name))
    votes = Counter(next(n for n, one in FORMATS.items() if one.claims(r.value)) for r in records)
    assert set(votes) == {EXPORTS[name][0]}


@pytest.mark.parametrize("name", EXPORTS)
def test_every_export_is_read_packed_and_with_a_mark(tmp_path: Path, name: str) -> None:
    _, ending, make = EXPORTS[name]
    path = tmp_path / f"packed.{ending}.gz"
    path.write_bytes(gzip.compress(b"\xef\xbb\xbf" + make().encode()))
    check(read_traces([tmp_path]), EXPORTS[name][0])


@pytest.mark.parametrize("name", [name for name, (_, ending, _) in EXPORTS.items() if ending == "jsonl"])
def test_broken_lines_are_named_and_the_others_read(tmp_path: Path, name: str) -> None:
    lines = EXPORTS[name][2]().encode().splitlines()
    path = tmp_path / "broken.jsonl"
    path.write_bytes(b"\n".join([b"{broken", *lines, b"7", b'{"x": "\xff"}', b"", b'{"who": "nobody"}']))
    found = read_traces([path])
    assert len(found.calls) == 2
    at = len(lines)
    told = [(problem.place, problem.rule[:12]) for problem in found.problems]
    assert sorted(told) == sorted([
        ("line 1", "is not JSON:"), (f"line {at + 2}", "is not an ob"), (f"line {at + 3}", "is not UTF-8"),
        (f"line {at + 5}", "is no record"),
    ])  # fmt: skip


@pytest.mark.parametrize("name", FORMATS)
def test_a_record_without_anything_is_named_or_counted(tmp_path: Path, name: str) -> None:
    path = tmp_path / "empty.json"
    path.write_text("[{}]")
    with pytest.raises(InputError, match="no model call was read"):
        read_traces([path], format=name)


@pytest.mark.parametrize("name", EXPORTS)
def test_a_start_that_is_no_time_is_told_and_its_call_counts(tmp_path: Path, name: str) -> None:
    """One of two calls; where nothing is said of the start, or 0, nothing is to be told."""
    format_, ending, make = EXPORTS[name]
    path = tmp_path / f"odd.{ending}"
    for start, told in (("yesterday", 1), ("0", 0)):
        whole = make().replace(NANOS[START], start).replace(START, start)
        assert start in whole
        path.write_text(whole)
        found = read_traces([path], format=format_)
        assert len(found.calls) == 2 and found.calls[0].started is None
        assert [p.place for p in found.problems] == [found.calls[0].place] * told
        assert all("its start is no time" in p.rule and "'yesterday'" in p.rule for p in found.problems)


def test_what_is_packed_and_cut_off_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    """300 lines, each twice over different, of whose packed bytes the last fifth is gone; as lines and as one list."""
    line = json.loads(EXPORTS["chat"][2]().splitlines()[0])
    lines = [json.dumps(line | {"id": str(i), "noise": os.urandom(400).hex()}) for i in range(300)]
    for name, text in (("a.jsonl.gz", "\n".join(lines)), ("b.json.gz", "[" + ",\n".join(lines) + "]")):
        packed = gzip.compress(text.encode())
        path = tmp_path / name
        path.write_bytes(packed[: len(packed) * 4 // 5])
        found = read_traces([path])
        assert 230 <= len(found.calls) <= 240, name
        assert [call.span for call in found.calls] == [str(i) for i in range(len(found.calls))]
        first, last = found.problems
        assert "what lies behind is lost" in first.rule and first.place.startswith("byte ")
        assert last.place in (f"line {len(found.calls) + 1}", f"all behind item {len(found.calls)}")
    damaged = bytearray(packed)
    damaged[-6] ^= 1  # of the checksum: all is there
    path.write_bytes(damaged)
    found = read_traces([path])
    assert len(found.calls) == 300 and "CRC" in found.problems[0].rule
    path.write_bytes(packed[:12])
    with pytest.raises(InputError, match="cannot be read"):
        read_traces([path])


def test_a_route_is_one_that_calls_have(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    rows = [json.loads(line) for line in EXPORTS["chat"][2]().splitlines()]
    rows[0]["feature"] = "search"
    path.write_text("\n".join(map(json.dumps, rows)))
    with pytest.warns(
        RouterLabWarning, match=r"--route 'feature': 1 of 2 calls have none, and keep the route"
    ):
        assert [call.route for call in read_traces([path], route="feature").calls] == ["search", "support"]
    with pytest.raises(InputError, match=r"--route 'featur': no call has it; calls have .*'feature'"):
        read_traces([path], route="featur")
