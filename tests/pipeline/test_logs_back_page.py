"""docs/logs-back.md, and the shadow of docs/operations.md: played on two policies, which print what the pages say.

`python tests/pipeline/test_logs_back_page.py` writes what is printed anew.
"""

from __future__ import annotations

import os
import re
import runpy
import shlex
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from click.testing import CliRunner  # noqa: E402  # as a program, too

from router_lab.cli import cli  # noqa: E402
from router_lab.runtime.artifact import save_revision  # noqa: E402
from router_lab.runtime.shadow import Shadow  # noqa: E402
from tests.log_worlds import PAGE, always  # noqa: E402

PAGES = {name: ROOT / "docs" / f"{name}.md" for name in ("logs-back", "operations")}
BLOCK = re.compile(
    r"(<!-- run: (evaluate|refused|shadowed) -->\n```console\n\$ (.*?)\n)(.*?)(```)", flags=re.S
)
PLAYED = {"logs-back": ("week",), "operations": ("shadow",)}


def lay_out(folder: Path) -> None:
    """The policies that the pages name: who serves mixes, the others do not."""
    served = (("support", "gpt-5-mini", 0.3), ("challenger", "gpt-5-mini", 1.0), ("bolder", "haiku", 0.4))
    for name, who, share in served:
        save_revision(always(who, share, name=name, cast=PAGE), folder / "policies" / name)


def play(page: str) -> dict[str, str]:
    """What each command of the page prints, after its programs have run; in the current folder."""
    text = PAGES[page].read_text(encoding="utf-8")
    for name in PLAYED[page]:
        [code] = re.findall(rf"<!-- run: {name} -->\n```python\n(.*?)```", text, flags=re.S)
        Path(f"{name}.py").write_text(code, encoding="utf-8")
        runpy.run_path(f"{name}.py")
    printed = {}
    for _, name, command, *_ in BLOCK.findall(text):
        done = CliRunner().invoke(cli, shlex.split(command)[1:])
        lines = [line for line in done.output.splitlines() if not line.startswith("evaluating ")]
        printed[name] = "".join(f"{line}\n" for line in [*lines, f"exit status {done.exit_code}"])
    return printed


@pytest.mark.parametrize("page", list(PAGES))
def test_the_page_prints_what_stands_there(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lay_out(tmp_path)
    printed = play(page)
    assert printed
    for _, name, _, told, _ in BLOCK.findall(PAGES[page].read_text(encoding="utf-8")):
        assert told == printed[name], f"{name}: python {__file__} writes it anew"


def test_the_shadow_of_the_page_kept_its_cap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lay_out(tmp_path)
    play("operations")
    [spent] = (tmp_path / "state" / "shadow").glob("*.jsonl")
    shadow = Shadow(None, share=1.0, max_usd=1.0, state=spent.parent)  # type: ignore[arg-type]
    assert 0.1 < shadow._spent.total(spent.stem) <= 2.0


def test_weeks_from_logs_are_told_by_what_the_bench_has_kept() -> None:
    """The figures of the page are those of tests/bench/offpolicy.json."""
    text = PAGES["logs-back"].read_text(encoding="utf-8")
    assert bench_told() in " ".join(text.split()), bench_told()


def bench_told() -> str:
    import json
    from statistics import median

    cells = json.loads((ROOT / "tests" / "bench" / "offpolicy.json").read_text())
    shares = [figure["coverage"] for cell in cells for figure in cell["figures"].values()]
    told = sum(bool(cell["figures"]) for cell in cells)
    dear = next(
        cell for cell in cells
        if (cell["set"], cell["cell"], cell["explore"], cell["requests"]) == ("pricerev_prevgen", "fit → ref", 0.02, 10_000)
    )  # fmt: skip
    return (
        f"Of {len(cells)} cells (log, target, exploration, size) {told} are told, four figures each: the least coverage "
        f"is {min(shares):.3f}, the median {median(shares):.3f}. What a "
        "verdict costs: on pricerev, 10,000 requests of which 2 % explore cost "
        f"${dear['exploring_usd']:.2f} more than without; a sweep until its interval is as short, "
        f"${dear['sweep_usd']:.2f}."
    )


if __name__ == "__main__":
    for page, path in PAGES.items():
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            lay_out(Path(folder))
            found = play(page)
            text = path.read_text(encoding="utf-8")
            path.write_text(BLOCK.sub(lambda m, f=found: m[1] + f[m[2]] + m[5], text), encoding="utf-8")
            os.chdir(ROOT)
