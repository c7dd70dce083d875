"""What every format of traces must hold: parametrized over FORMATS and the synthetic exports of each."""

from __future__ import annotations

import gzip
from collections import Counter
from pathlib import Path

import pytest

from router_lab.cli.traces import FORMATS as OFFERED
from router_lab.runtime.errors import InputError
from router_lab.traces import FORMATS, Traces, price_calls, read_traces
from router_lab.traces.records import records_of
from tests.trace_exports import (
    ANSWER,
    EXPORTS,
    FIRST,
    MODEL,
    QUESTION,
    SECOND,
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
