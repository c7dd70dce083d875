"""Looks at the same rows are counted, wherever their answers are put and however the rows are written down."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from router_lab.cli import cli
from router_lab.config import Recipe
from router_lab.fit import fit_policy
from router_lab.fit.folds import deal_of
from router_lab.outcomes import OutcomeMatrix, validate_outcomes, write_outcomes
from router_lab.outcomes.looks import LOOKS, Look, Rows, count_look, looks_file
from router_lab.outcomes.questions import same_questions, signature
from router_lab.runtime.artifact import encode_policy, save_policy
from router_lab.runtime.errors import RouterLabWarning
from router_lab.runtime.policy import Policy
from tests.fit_worlds import two_kinds

TABLE = two_kinds(120)
RULES = [
    {"margin": 0.05, "confidence": 0.90},
    {"margin": 0.10, "confidence": 0.90},
    {"margin": 0.05, "confidence": 0.95},
]


MADE: dict[str, Policy] = {}


def once(recipe: Recipe, outcomes: pd.DataFrame, *seed: int, **more: bool) -> Policy:
    """`fit_policy`, which these tests ask the same again and again; that it repeats itself has tests of its own."""
    asked = repr((recipe.model_dump_json(), outcomes.to_json(orient="split"), seed, more))
    if asked not in MADE:
        MADE[asked] = fit_policy(recipe, outcomes, *seed, **more)
    return MADE[asked]


@pytest.fixture(autouse=True)
def fitted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router_lab.fit.fit_policy", once)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    write_outcomes(TABLE, tmp_path / "data" / "outcomes.parquet")
    return tmp_path


def invoke(*arguments: Any) -> Result:
    done = CliRunner().invoke(cli, [str(a) for a in arguments])
    assert done.exit_code in (0, 3, 4), done.output
    return done


def fit(
    home: Path, rule: dict[str, float] = RULES[0], out: str = "out", file: str = "outcomes.parquet", *more: str,
    **keys: Any,
) -> Any:  # fmt: skip
    """What `fit --json` prints for a recipe of that rule and keys."""
    recipe = home / "recipe.yaml"
    recipe.write_text(json.dumps({"name": "p", "rule": rule, **keys}))
    done = invoke("fit", recipe, "--outcomes", home / "data" / file, "--out", home / out, "--json", *more)
    return json.loads(done.stdout)


def lines(home: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (home / "data" / LOOKS).read_text().splitlines()]


def look(
    rows: Rows, question: Any = "q", *, answer: Any = "a", delta: float = 0.1, command: str = "fit"
) -> Look:
    return Look(command, rows, question, answer, "pass", delta, {})


def test_each_other_question_is_a_look_whatever_the_folder_and_the_error_is_the_sum_of_their_deltas(
    home: Path,
) -> None:
    found = [fit(home, rule, out=f"out-{i}") for i, rule in enumerate(RULES)]
    assert [row["looks"] for row in found] == [1, 2, 3]
    assert [row["looks_error_at_most"] for row in found] == [0.1, 0.2, 0.25]  # .10 + .10 + .05
    assert [(row["command"], row["delta"]) for row in lines(home)] == [
        ("fit", 0.1),
        ("fit", 0.1),
        ("fit", 0.05),
    ]


def test_an_exact_repeat_is_no_look_in_another_folder_by_another_name_or_with_another_seed(
    home: Path,
) -> None:
    first = fit(home)
    found = [
        fit(home, RULES[0], "other"),
        *(fit(home, RULES[0], f"seed-{s}", "outcomes.parquet", "--seed", str(s)) for s in (1, 2, 7)),
        fit(home, name="q", gates=[{"metric": "quality", "min": 0.5}], expires="2099-01-01"),
    ]
    assert {row["looks"] for row in [first, *found]} == {1} and len(lines(home)) == 1
    # Best of many seeds is one policy.
    assert {Path(row["path"]).name for row in found[:-1]} == {Path(first["path"]).name}


def test_a_person_is_told_from_the_second_on_and_which_answer_to_trust(home: Path) -> None:
    recipe, told = home / "recipe.yaml", []
    for rule in RULES[:2]:
        recipe.write_text(json.dumps({"name": "p", "rule": rule}))
        done = invoke("fit", recipe, "--outcomes", home / "data" / "outcomes.parquet", "--out", home / "out")
        told.append([line for line in done.stdout.splitlines() if line.startswith("looks")])
    first = lines(home)[0]
    assert told == [
        [],
        [
            "looks       look 2 at these rows: 2 different questions have been asked of them, and that one of the "
            "answers is wrong can be as likely as 0.2, where each alone promised 0.1. Trust the first "
            f"(fit of p, revision {first['asked']['revision'][:16]}, on {first['time'][:10]}: {first['verdict']}), or "
            "ask rows that nobody has looked at"
        ],
    ]
    assert (home / "out" / first["asked"]["revision"][:16]).is_dir()


@pytest.mark.parametrize(("asked", "said"), [
    ({"policy": "support", "revision": "ab" * 32}, "fit of support, revision abababababababab, on "),
    ({"recipe": "\x1b[2J", "revision": "ab" * 31}, "fit on "), ({"recipe": 7, "policy": "p"}, "fit of p on "),
    ("x", "fit on "), (None, "fit on "),
])  # fmt: skip
def test_a_look_says_whose_it_was_as_far_as_the_file_is_ours(tmp_path: Path, asked: Any, said: str) -> None:
    rows = Rows("d", ("00" * 8,), 1)
    count_look(tmp_path / "o.parquet", replace(look(rows), asked={}))
    path = looks_file(tmp_path / "o.parquet")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"asked": asked}) + "\n")
    assert count_look(tmp_path / "o.parquet", look(rows, "another")).first.startswith(said)


def test_the_rows_are_the_same_in_any_order_format_and_by_a_link(home: Path) -> None:
    fit(home)
    shuffled = TABLE.sample(frac=1, random_state=1)
    shuffled.to_csv(home / "data" / "again.csv", index=False)
    invoke("collect", home / "data" / "again.csv", "--out", home / "data" / "csv.parquet")
    write_outcomes(validate_outcomes(shuffled), home / "data" / "shuffled.parquet")
    (home / "elsewhere").mkdir()
    (home / "elsewhere" / "link.parquet").symlink_to(home / "data" / "outcomes.parquet")
    files = ["csv.parquet", "shuffled.parquet", "../elsewhere/link.parquet"]
    assert [fit(home, RULES[0], "out", file)["looks"] for file in files] == [1, 1, 1]
    assert fit(home, RULES[1], "out", "csv.parquet")["looks"] == 2
    assert fit(home, RULES[2], "out", "../elsewhere/link.parquet")["looks"] == 3
    assert not (home / "elsewhere" / LOOKS).exists()


ids = sorted(set(TABLE["sample_id"]))
AGAIN = {
    "other prices": TABLE.assign(cost_usd=TABLE["cost_usd"].where(TABLE["model"] != "large", 0.3)),
    "other groups": TABLE.assign(group=[s[:-1] for s in TABLE["sample_id"]]),
    "without prompts": TABLE.assign(prompt=None),
    "prompts in capitals, spaced and dotted": TABLE.assign(
        prompt=[f" {p.upper()} . " for p in TABLE["prompt"]]
    ),
    "prompts in a frame": TABLE.assign(prompt=[f"Please: {p} Be brief." for p in TABLE["prompt"]]),
    "half of the prompts lost": TABLE.assign(prompt=TABLE["prompt"].where(TABLE["sample_id"] < ids[60])),
    "one sample dropped": TABLE[TABLE["sample_id"] != ids[0]],
    "a tenth more": pd.concat(
        [TABLE, two_kinds(12, seed=3).assign(sample_id=lambda t: "x" + t["sample_id"])]
    ),
}


@pytest.mark.parametrize("case", AGAIN)
def test_the_same_outcomes_dressed_otherwise_are_looked_at_again(home: Path, case: str) -> None:
    fit(home)
    write_outcomes(validate_outcomes(AGAIN[case]), home / "data" / "again.parquet")
    found = fit(home, RULES[0], "out", "again.parquet")
    assert (found["looks"], found["looks_error_at_most"]) == (2, 0.2)


@pytest.mark.parametrize("keys", [{"holdout": 0.1}, {"seen": 0}, {"fitter": "rates"}, {"escalate": False}])
def test_another_recipe_asks_the_same_rows_again(home: Path, keys: dict[str, Any]) -> None:
    fit(home)
    keys = {"min_seen": 0.5} if "seen" in keys else keys
    assert fit(home, **keys)["looks"] == 2


def numbered(week: str, questions: list[str]) -> pd.DataFrame:
    """Samples 0, 1, … that both candidates answer rightly, but for every tenth."""
    rows = [
        {"suite": "s", "sample_id": str(at), "model": model, "quality": float(at % 10 != 3), "prompt": f"{text} {week}"}
        for at, text in enumerate(questions) for model in ("a", "b")
    ]  # fmt: skip
    return validate_outcomes(pd.DataFrame(rows))


def asked_of(week: int, kind: str, n: int = 300) -> pd.DataFrame:
    rng = np.random.default_rng(week)
    words = ["".join(rng.choice(list("abcdefghijklmnop"), 6)) for _ in range(400)]
    if kind == "template":
        return numbered(
            "", [f"How do I reset the password of account {rng.integers(10**6)}?" for _ in range(n)]
        )
    return numbered("", [" ".join(rng.choice(words, 12)) for _ in range(n)])


@pytest.mark.parametrize("kind", ["free", "template"])
def test_other_questions_that_are_numbered_alike_are_other_rows(tmp_path: Path, kind: str) -> None:
    """Each week's table counts from 0 and is answered as the last was: the prompts alone are others."""
    weeks = [Rows.of(asked_of(week, kind)) for week in range(6)]
    assert len({week.digest for week in weeks}) == 1
    assert [a.alike(b) for a in weeks for b in weeks] == [a is b for a in weeks for b in weeks]
    found = [count_look(tmp_path / "o.csv", look(week)) for week in (*weeks, weeks[0])]
    assert [one.number for one in found] == [1] * 7
    assert len((tmp_path / LOOKS).read_text().splitlines()) == 6
    assert count_look(tmp_path / "o.csv", look(weeks[1], "another")).number == 2


@pytest.mark.parametrize("kind", ["free", "template"])
def test_questions_in_other_words_around_them_are_the_same(kind: str) -> None:
    table = asked_of(0, kind)
    rows = Rows.of(table)
    for dressed in ("{}", "Please: {} Be brief.", "{} Thank you very much for the answer, as always."):
        again = table.assign(prompt=[dressed.format(text) for text in table["prompt"]])
        assert rows.alike(Rows.of(again)) and Rows.of(again).alike(rows), dressed
    one = table.assign(prompt="Answer the question in the picture.")
    assert Rows.of(one).alike(Rows.of(one)) and rows.alike(Rows.of(table.drop(columns="prompt")))


@given(st.lists(st.text(max_size=30), min_size=1, max_size=8))
def test_any_prompts_are_the_same_as_themselves_and_as_none(prompts: list[str]) -> None:
    told = [signature(text) for text in prompts]
    assert same_questions(told, told).all()
    assert same_questions(told, [""] * len(told)).all() and same_questions(["x" * 80] * len(told), told).all()
    assert told == [signature(f"  {text.upper()}. ") for text in prompts] or not all(
        map(str.isascii, prompts)
    )


def test_two_prompts_by_hand() -> None:
    """One pair alone has nothing to be ranked by: it is the same from an eighth shared on. Without a letter or digit
    a text is no prompt."""
    cat, hat = signature("Where does the cat sleep at night?"), signature("Compute 17 * 23 and add 4.")
    assert same_questions([cat], [signature("where does the CAT sleep, at night")]).tolist() == [True]
    assert same_questions([cat], [hat]).tolist() == [False]
    assert same_questions([cat, hat], [hat, cat]).tolist() == [False, False]
    assert signature(None) == signature(" ?! ") == "" and len(cat) == 16 + 64


def test_a_look_of_an_earlier_version_has_no_prompts_and_counts(tmp_path: Path) -> None:
    count_look(tmp_path / "o.csv", look(Rows.of(asked_of(0, "free"))))
    path = tmp_path / LOOKS
    old = json.loads(path.read_text())
    del old["prompts"]
    path.write_text(json.dumps(old) + "\n")
    assert count_look(tmp_path / "o.csv", look(Rows.of(asked_of(1, "free")), "another")).number == 2


def test_points_share_one_delta(home: Path) -> None:
    """The rule and its points are wrong together with (.10 + .02) / 2."""
    assert fit(home, points={"careful": {"margin": 0.02, "confidence": 0.98}})["looks_error_at_most"] == 0.06


def test_other_rows_in_the_same_folder_are_not_counted_with_these(home: Path) -> None:
    fit(home)
    write_outcomes(two_kinds(120, seed=9), home / "data" / "fresh.parquet")  # of the same names, too
    write_outcomes(TABLE[TABLE["sample_id"] < ids[60]], home / "data" / "half.parquet")
    assert [fit(home, RULES[1], "out", f)["looks"] for f in ("fresh.parquet", "half.parquet")] == [1, 1]
    assert len(lines(home)) == 3


def test_a_further_candidate_on_the_same_samples_is_new_evidence(home: Path) -> None:
    fit(home)
    large = TABLE[TABLE["model"] == "large"]
    write_outcomes(
        validate_outcomes(pd.concat([TABLE, large.assign(model="new")])), home / "data" / "new.parquet"
    )
    assert fit(home, RULES[0], "out", "new.parquet")["looks"] == 1
    assert fit(home, candidates=[{"model": "large"}])["looks"] == 2  # a recipe that leaves one out adds none


def test_what_is_promised_is_never_above_one(tmp_path: Path) -> None:
    rows = Rows.of(TABLE)
    found = [count_look(tmp_path / "o.csv", look(rows, i, delta=0.3)) for i in range(4)]
    assert [f.error for f in found] == [0.3, 0.6, 0.9, 1.0]
    # A repeat: all that were asked by now.
    assert count_look(tmp_path / "o.csv", look(rows, 2, delta=0.3)).number == 4
    told = found[1].told()
    assert (
        found[0].told() is None
        and told is not None
        and "as likely as 0.6, where each alone promised 0.3" in told
    )


def test_a_look_at_most_of_these_rows_is_called_that(tmp_path: Path) -> None:
    some = Rows.of(TABLE[TABLE["sample_id"] != ids[0]])
    count_look(tmp_path / "o.csv", look(some))
    told = count_look(tmp_path / "o.csv", look(Rows.of(TABLE))).told()
    assert told is not None and told.startswith(
        "look 2 at these rows, or most of them: 2 different questions"
    )


def test_rows_are_known_by_what_was_scored() -> None:
    """Not by prices, infra rows or the sign of a zero; a quality, an epoch or an effort makes another."""
    rows = Rows.of(TABLE)
    lost = TABLE.iloc[:1].assign(sample_id="lost", status="infra", quality=float("nan"))
    signs = TABLE.assign(quality=TABLE["quality"].where(TABLE["quality"] > 0, -0.0))
    assert rows.n == 120 and rows == Rows.of(validate_outcomes(pd.concat([TABLE, lost]))) == Rows.of(signs)
    one = TABLE["sample_id"] == ids[0]
    for change in ({"quality": 0.5}, {"epoch": 2}, {"effort": "low"}):
        other = TABLE.assign(**{k: TABLE[k].astype(object).where(~one, v) for k, v in change.items()})
        other = validate_outcomes(other)
        assert Rows.of(other).digest != rows.digest and rows.alike(Rows.of(other))
    swapped = TABLE.assign(model=TABLE["model"].map({"large": "small", "small": "large"}))
    assert not rows.alike(Rows.of(validate_outcomes(swapped)))


def test_overlap_is_estimated_within_the_error_of_its_sketch() -> None:
    """Half, three fifths and nine tenths of 2,000 samples: the share of 64 drawn that is shared has an error of .06."""
    many = pd.DataFrame(
        {"suite": "s", "sample_id": [str(i) for i in range(2000)], "model": "m", "quality": 1.0}
    )
    parts = {n: Rows.of(validate_outcomes(many.iloc[:n])) for n in (1000, 1200, 1800, 1999, 2000)}
    assert [n for n, part in parts.items() if part.alike(parts[2000])] == [1800, 1999, 2000]


def test_folds_are_dealt_by_the_groups_alone() -> None:
    """No seed, price, candidate or epoch deals another hand: eight seeds give one policy, to the byte."""
    recipe = Recipe.model_validate({"name": "t", "rule": RULES[0]})
    policies = [fit_policy(recipe, TABLE, seed=seed) for seed in range(8)]
    assert len({str((p.spec.points, p.spec.certificate["verdict"])) for p in policies}) == 1
    assert len({str(encode_policy(p)) for p in policies}) == 1
    again = TABLE.sample(frac=1, random_state=2).assign(cost_usd=1.0, quality=1.0)
    deals = [
        deal_of(OutcomeMatrix.from_frame(validate_outcomes(t)))
        for t in (TABLE, again, again[again["model"] == "large"])
    ]
    assert len(set(deals)) == 1
    assert deal_of(OutcomeMatrix.from_frame(TABLE[TABLE["sample_id"] != ids[0]])) != deals[0]


def test_a_seed_is_for_diagnostics_alone() -> None:
    recipe = Recipe.model_validate({"name": "t", "rule": RULES[0]})
    first, second = (fit_policy(recipe, TABLE, seed=seed, diagnostics=True).spec for seed in (0, 1))
    assert first.points == second.points and (first.provenance["seed"], second.provenance["seed"]) == (0, 1)
    shown, other = dict(first.certificate), dict(second.certificate)
    assert shown.pop("diagnostics") != other.pop("diagnostics") and shown == other


def test_a_look_is_counted_before_anything_of_it_can_be_seen(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("router_lab.cli.fit.save_revision", full)
    (home / "recipe.yaml").write_text(json.dumps({"name": "p", "rule": RULES[0]}))
    file = home / "data" / "outcomes.parquet"
    done = CliRunner().invoke(
        cli, ["fit", str(home / "recipe.yaml"), "--outcomes", str(file), "--out", str(home / "o")]
    )
    assert done.exit_code == 1 and len(lines(home)) == 1


def gate(home: Path, policy: Path, gates: list[dict[str, Any]], *more: str) -> Result:
    (home / "gates.yaml").write_text(json.dumps({"gates": gates}))
    table = home / "data" / "fresh.parquet"
    return invoke("gate", policy, "--outcomes", table, "--gates", home / "gates.yaml", *more)


@pytest.fixture
def fitted(home: Path) -> Path:
    fresh = two_kinds(120, seed=9).assign(
        group=lambda t: "f" + t["group"], sample_id=lambda t: "f" + t["sample_id"]
    )
    write_outcomes(validate_outcomes(fresh), home / "data" / "fresh.parquet")
    return save_policy(
        fit_policy(Recipe.model_validate({"name": "t", "rule": RULES[0]}), TABLE), home / "policy"
    )


def test_gates_count_looks_at_the_fresh_rows_that_they_judged(home: Path, fitted: Path) -> None:
    strict = {"metric": "quality", "against": "reference", "margin": 0.02, "confidence": 0.95}
    wide = {**strict, "margin": 0.2, "confidence": 0.9}
    asked: list[list[dict[str, Any]]] = [[strict], [strict], [wide], [strict, wide], [wide, strict]]
    found = [json.loads(gate(home, fitted, gates, "--json").stdout) for gates in asked]
    assert [row["looks"] for row in found] == [1, 1, 2, 3, 3]
    # .05; again; + .10; + .10, since two gates pass together no more often than the less certain one passes wrongly.
    assert [row["looks_error_at_most"] for row in found] == [0.05, 0.05, 0.15, 0.25, 0.25]
    told = gate(home, fitted, [wide]).stdout
    assert (
        "look 3 at these rows" in told and "as likely as 0.25, where each alone promised 0.05 or 0.1" in told
    )
    assert {row["command"] for row in lines(home)} == {"gate"}


def test_a_fit_on_rows_that_a_gate_has_judged_asks_them_again_and_its_own_rows_are_others(
    home: Path, fitted: Path
) -> None:
    assert fit(home)["looks"] == 1
    found = json.loads(gate(home, fitted, [{"metric": "quality", "min": 0.1}], "--json").stdout)
    assert found["looks"] == 1
    assert fit(home, RULES[0], "out", "fresh.parquet")["looks"] == 2


def test_what_asks_the_fresh_rows_nothing_is_no_look(home: Path, fitted: Path) -> None:
    facts = [{"metric": "certificate", "min": 1}, {"metric": "expires_in_days", "min": -9}]
    found = json.loads(gate(home, fitted, facts, "--json").stdout)
    assert (found["looks"], found["looks_error_at_most"]) == (0, None)
    gates, file = [{"metric": "quality", "min": 0.1}], home / "gate.json"
    gate(home, fitted, gates, "--write-json", str(file))
    assert "looks" not in json.loads(file.read_text())  # the same question later gives the same bytes
    assert "the same to the last digit" in gate(home, fitted, gates, "--check", str(file)).stdout
    assert len(lines(home)) == 1


CONTEND = """
import os, sys
import pandas as pd
from router_lab.outcomes import validate_outcomes
from router_lab.outcomes.looks import Look, Rows, count_look
rows = Rows.of(validate_outcomes(pd.DataFrame({"suite": "s", "sample_id": ["a", "b"], "model": "m", "quality": 1.0})))
print("ready", flush=True)
sys.stdin.readline()
for i in range(20):
    found = count_look(sys.argv[1], Look("fit", rows, [os.getpid(), i], 0, "pass", 0.001, {}))
    count_look(sys.argv[1], Look("fit", rows, ["both", i], 0, "pass", 0.001, {}))
print(found.number)
"""


def test_processes_that_look_at_once_lose_no_look(tmp_path: Path, at_once: Any) -> None:
    """Twenty looks of each of two, and twenty that both take: sixty, of which who came last has seen all but one."""
    found = at_once(CONTEND, str(tmp_path / "o.csv"))
    assert [(errors, status) for _, errors, status in found] == [("", 0)] * 2
    assert max(int(printed) for printed, _, _ in found) >= 59
    table = pd.DataFrame({"suite": "s", "sample_id": ["a", "b"], "model": "m", "quality": 1.0})
    again = look(Rows.of(validate_outcomes(table)), ["both", 0], answer=0)
    assert count_look(tmp_path / "o.csv", again).number == 60


FULL = """
import resource, sys, warnings
import pandas as pd
from router_lab.outcomes import validate_outcomes
from router_lab.outcomes.looks import Look, Rows, count_look, looks_file
rows = Rows.of(validate_outcomes(pd.DataFrame({"suite": "s", "sample_id": ["a", "b"], "model": "m", "quality": 1.0})))
count_look(sys.argv[1], Look("fit", rows, 1, 1, "pass", 0.1, {}))
size = looks_file(sys.argv[1]).stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, size + 10))
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    found = count_look(sys.argv[1], Look("fit", rows, 2, 2, "pass", 0.1, {}))
assert looks_file(sys.argv[1]).stat().st_size == size
print(found.number, found.error, len(said), said[0].message)
"""


def test_a_full_disk_is_told_once_and_the_fit_goes_on(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path / "o.csv")], capture_output=True, text=True, check=True
    )
    told = f"2 0.2 1 {tmp_path / LOOKS}: File too large: this look is not counted there, so later ones may be told too few"
    assert done.stdout.startswith(told)


@pytest.mark.parametrize("kind", ["fifo", "folder", "link to nowhere"])
def test_what_is_no_file_that_can_be_written_is_told_once_and_waits_for_nobody(home: Path, kind: str) -> None:
    place = home / "data" / LOOKS
    {"fifo": lambda: os.mkfifo(place), "folder": place.mkdir,
     "link to nowhere": lambda: place.symlink_to(home / "not" / "there")}[kind]()  # fmt: skip
    (home / "recipe.yaml").write_text(json.dumps({"name": "p", "rule": RULES[0]}))
    table = home / "data" / "outcomes.parquet"
    done = invoke("fit", home / "recipe.yaml", "--outcomes", table, "--out", home / "out")
    told = [line for line in done.stderr.splitlines() if line.startswith("warning: ") and LOOKS in line]
    assert len(told) == 1 and "this look is not counted there" in told[0]
    assert Path(done.stdout.splitlines()[-1]).is_dir()


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_read_only_folder_is_told_once(home: Path) -> None:
    (home / "data").chmod(0o555)
    try:
        with pytest.warns(RouterLabWarning, match="not counted there") as said:
            assert count_look(home / "data" / "outcomes.parquet", look(Rows.of(TABLE))).number == 1
    finally:
        (home / "data").chmod(0o755)
    assert len(said) == 1


def test_damaged_lines_are_passed_over_and_told_by_number(home: Path) -> None:
    fit(home)
    place = home / "data" / LOOKS
    good = json.loads(place.read_text())
    bad = ["{torn", "[]", "{}", json.dumps(good | {"delta": 0}), json.dumps(good | {"verdict": "[31mpass"}),
           json.dumps(good | {"sketch": [1]}), json.dumps(good | {"time": "yesterday"})]  # fmt: skip
    place.write_text("\n".join([json.dumps(good), *bad]))  # the last without its newline
    with pytest.warns(RouterLabWarning) as said:
        found = count_look(home / "data" / "outcomes.parquet", look(Rows.of(TABLE), "another"))
    assert (found.number, found.error) == (2, 0.2)
    assert {str(w.message) for w in said} == {
        f"{place}: line 2, 3, 4, 5, 6 and 2 more: is no look and is passed over, so looks may be told too few"
    }
    assert json.loads(place.read_text().splitlines()[-1])["question"] != good["question"]
