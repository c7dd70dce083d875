"""docs/recipe.md lists every key that a recipe can have, with the defaults of the code, and no other.

`python tests/unit/test_recipe_page.py` writes the names of fitters, and puts the rows of metrics in their order.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel, TypeAdapter

from router_lab.config import CandidateRef, Gate, Gates, Recipe, Rule, load, parse
from router_lab.fit import FITTERS
from router_lab.gates import COMPARED, FACTS, MEASURED
from router_lab.runtime.errors import InputError


@pytest.fixture(scope="module")
def page(root: Path) -> str:
    return (root / "docs" / "recipe.md").read_text(encoding="utf-8")


ROOT = Path(__file__).resolve().parents[2]
COMMAND = "python tests/unit/test_recipe_page.py writes it anew"
NAMED = re.compile(r"(\| `fitter` \|.*How quality and cost are predicted: ).*?(, or one of \[your own\])")
METRICS = re.compile(r"(<!-- metrics -->\n\|.*\n\|.*\n)((?:\| `\w+` \|.*\n)*)")


def with_fitters(page: str) -> str:
    """The page with the names of all fitters in their row."""
    names = ", ".join(f"`{name}`" for name in sorted(FITTERS))
    changed, times = NAMED.subn(lambda found: found[1] + names + found[2], page)
    assert times == 1
    return changed


def with_metrics(page: str) -> str:
    """The page with the rows of metrics in the order of the code; what a metric is, only who adds it can write."""
    order = [*MEASURED, *FACTS]

    def place(line: str) -> int:
        name = line.split("`")[1]
        return order.index(name) if name in order else len(order)

    changed, times = METRICS.subn(
        lambda found: found[1] + "".join(sorted(found[2].splitlines(keepends=True), key=place)), page
    )
    assert times == 1
    return changed


def rows(page: str, name: str) -> dict[str, list[str]]:
    """The table after the comment `name`: its first cell without backticks -> the other cells."""
    table = page.split(f"<!-- {name} -->\n", 1)[1].split("\n\n", 1)[0]
    lines = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()[2:]]
    assert all(len(line) == 4 and all(line) for line in lines)
    return {line[0].strip("| `"): line[1:] for line in lines}


@pytest.mark.parametrize("model", [Recipe, Rule, CandidateRef, Gate])
def test_the_page_has_every_key_with_its_default(page: str, model: type[BaseModel]) -> None:
    told = rows(page, f"keys: {model.__name__}")
    assert list(told) == list(model.model_fields)
    for key, field in model.model_fields.items():
        written = told[key][1]
        if field.is_required():
            assert written == "required", key
        else:
            default = TypeAdapter(field.annotation).validate_python(yaml.safe_load(written.strip("`")))
            assert default == field.get_default(call_default_factory=True), key


def test_the_page_has_every_metric_and_fitter(page: str) -> None:
    told = rows(page, "metrics")
    lacking, unknown = {*MEASURED, *FACTS} - told.keys(), told.keys() - {*MEASURED, *FACTS}
    assert not lacking, (
        f"the table of metrics in docs/recipe.md: add {lacking}: name, unit, yes or no, what it is"
    )
    assert not unknown, f"the table of metrics in docs/recipe.md: there is no {unknown}; take its row out"
    assert {metric for metric, cells in told.items() if cells[1] == "yes"} == set(COMPARED)
    assert page == with_metrics(with_fitters(page)), COMMAND
    assert list(told) == [*MEASURED, *FACTS]


def test_rows_of_metrics_may_be_added_anywhere(page: str) -> None:
    found = METRICS.search(page)
    assert found is not None and found[2].count("\n") > len(FACTS)
    backwards = "".join(reversed(found[2].splitlines(keepends=True)))
    assert with_metrics(page.replace(found[2], backwards)) == page


def test_the_recipes_of_the_page_are_recipes(page: str) -> None:
    blocks = re.findall(r"<!-- recipe -->\n```yaml\n(.*?)```", page, flags=re.S)
    found = [parse(Recipe, yaml.safe_load(block), where="docs/recipe.md") for block in blocks]
    assert found[0] == Recipe(name="support") and found[1].points["thrifty"].margin == 0.05


@pytest.mark.parametrize(
    ("model", "text"), [(Recipe, "name: r\nrul: 1\n"), (Gates, "gates: [{metrik: quality}]\n")]
)
def test_an_unknown_key_leads_to_the_page(model: type[BaseModel], text: str, tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(InputError, match=r"unknown key .*known: .*; docs/recipe.md says what each does$"):
        load(model, tmp_path / "r.yaml")


if __name__ == "__main__":
    PAGE = ROOT / "docs" / "recipe.md"
    PAGE.write_text(with_metrics(with_fitters(PAGE.read_text(encoding="utf-8"))), encoding="utf-8")
