"""Every fault in a user's YAML is one line that names the file, the key, the value and the rule."""

from pathlib import Path

import pytest

from router_lab.config import Effort, Gates, Prices, Recipe, Suite, Sweep, load, load_map
from router_lab.config.base import parse, read_yaml
from router_lab.runtime.errors import InputError

FAULTS = [
    (Recipe, "name: x\nrul: 1\n", "unknown key `rul`; known: name, reference, rule"),
    (
        Recipe,
        "name: x\nallowed: {s: [{model: a, retires: 2027-01-01}]}\n",
        "unknown key `allowed.s.0.retires`; known: model, effort, harness; `retires` is a key under `reference`, `cand",
    ),
    (Recipe, "name: x\nmargin: 0.1\n", "`margin` is a key under `rule`, `points`, `gates`; docs"),
    (Recipe, "name: x\nrule: {margn: 0.1}\n", "unknown key `rule.margn`; known: margin, budget_usd_per_1k"),
    (
        Recipe,
        "name: x\nrule: {margin: 0.1, min_quality: 0.5}\n",
        "give exactly one of margin, budget_usd_per_1k",
    ),
    (Recipe, "name: x\nrule: {margin: 3}\n", "`rule.margin` is 3: Input should be less than 1"),
    (
        Recipe,
        "name: x\nreference: gpt\n",
        "`reference` is 'gpt': write `best`, or a mapping with model and effort",
    ),
    (Recipe, "name: x\nholdout: 2\n", "`holdout` is 2: Input should be less than 0.9"),
    (Recipe, "reference: best\n", "key `name` is missing"),
    (Recipe, "name: a\nname: b\n", "line 2: key 'name' is written twice"),
    (Recipe, "name: [\n", "line 2: "),
    (Recipe, "", "is empty; a Recipe needs at least name"),
    (Recipe, "name: x\nrule: {margin: .nan}\n", "finite"),
    (
        Recipe,
        "name: x\ncandidates: []\n",
        "`candidates` is [], and it must not be empty: name one at least, or leave",
    ),
    (Recipe, "name: x\nallowed: {s: []}\n", "`allowed.s` is [], and it must not be empty: name one at least"),
    (Gates, "gates: []\n", "`gates` is [], and it must not be empty: name one at least"),
    (Gates, "gates: [{metric: quality}]\n", "`gates.0`: a gate needs min, max or margin"),
    (
        Gates,
        "gates: [{metric: quality, margin: 0.02}]\n",
        "margin needs against: reference or against: champion",
    ),
    (
        Sweep,
        "name: s\nmodels: [m]\nsuites: [{suite: a, limt: 3}]\n",
        "unknown key `suites.0.limt`; known: suite",
    ),
    (
        Sweep,
        "name: s\nmodels: []\nsuites: [a]\n",
        "`models` is [], and it must not be empty: name one at least",
    ),
    (
        Sweep,
        "name: s\nmodels: [m]\nsuites: [a]\ncandidates: []\n",
        "its candidates are each of `models` with each of `efforts`",
    ),
    (Suite, "scorer: match\n", "give exactly one of task and logs"),
    (
        Suite,
        "task: a.py@t\nquality: {C: 1.7}\n",
        "`quality.C` is 1.7: Input should be less than or equal to 1",
    ),
    (Effort, "max_token: 5\n", "unknown key `max_token`"),
]


@pytest.mark.parametrize(("model", "text", "expected"), FAULTS)
def test_fault_is_one_line_that_says_what_to_do(
    tmp_path: Path, model: type, text: str, expected: str
) -> None:
    path = tmp_path / "file.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        load(model, path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert expected in message
    assert "\n" not in message


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.yaml: no such file"):
        load(Recipe, tmp_path / "nowhere.yaml")


def test_a_map_names_the_entry_at_fault(tmp_path: Path) -> None:
    path = tmp_path / "suites.yaml"
    path.write_text("good: {task: a.py@t}\nbad: {tsk: a.py@t}\n")
    with pytest.raises(InputError, match=r"suites\.yaml: bad: unknown key `tsk`"):
        load_map(Suite, path)


def test_swapped_price_columns_need_a_confirmation(tmp_path: Path) -> None:
    path = tmp_path / "prices.yaml"
    entry = "models: {m: [{starts: 2026-01-01, input: 4.0, output: 0.4, source: 'https://x', checked: 2026-01-01%s}]}\n"
    path.write_text(entry % "")
    with pytest.raises(InputError, match=r"output 0\.4 is below input 4\.0.*confirmed: true"):
        load(Prices, path)
    path.write_text(entry % ", confirmed: true")
    assert load(Prices, path).models["m"][0].output == 0.4


def test_defaults_of_a_recipe_are_the_documented_rule() -> None:
    recipe = Recipe(name="x")
    assert (recipe.rule.kind, recipe.rule.margin, recipe.rule.confidence) == ("margin", 0.03, 0.90)
    assert (recipe.reference, recipe.mix, recipe.holdout, recipe.fitter) == ("best", True, 0.2, "default")


def test_short_forms_of_a_sweep(tmp_path: Path) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text(
        "name: s\nmodels: [a/b@c, {model: d, efforts: [low]}]\nsuites: [x, {suite: y, limit: 5}]\n"
    )
    sweep = load(Sweep, path)
    assert [m.model for m in sweep.models] == ["a/b@c", "d"]
    assert [(s.suite, s.limit) for s in sweep.suites] == [("x", None), ("y", 5)]
    assert sweep.efforts == [None]


def test_halves_of_a_character_that_json_wrote_become_one_again(tmp_path: Path) -> None:
    (tmp_path / "g.json").write_text('{"na\\ud83d\\udc4dme": ["\\ud83d\\udc4d", "\\ud83d", "é"]}')
    assert read_yaml(tmp_path / "g.json") == {"na👍me": ["👍", "\ud83d", "é"]}


def test_brackets_inside_of_brackets_end_before_they_take_the_square_of_their_number(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("[" * 99 + "]" * 99)
    assert read_yaml(tmp_path / "x.yaml") is not None
    (tmp_path / "x.yaml").write_text("[" * 101 + "]" * 101)
    with pytest.raises(InputError, match=r"x.yaml: is nested too deeply"):
        read_yaml(tmp_path / "x.yaml")


@pytest.mark.parametrize(
    "more",
    [
        {"stages": True},
        {"latency_p95_s": True},
        {"min_seen": True},
        {"rule": {"margin": 0.02, "confidence": True}},
    ],
)
def test_a_truth_value_is_no_number(more: dict[str, object]) -> None:
    recipe = {"name": "r", "rule": {"margin": 0.02, "confidence": 0.9}, **more}
    with pytest.raises(
        InputError, match=r"recipe\.yaml: .*(a number is wanted, and this is a truth value|is True)"
    ):
        parse(Recipe, recipe, where="recipe.yaml")
