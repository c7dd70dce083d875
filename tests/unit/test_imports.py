"""The weight of `import router_lab`, and the order in which rooms may know each other."""

import subprocess
import sys
from pathlib import Path

HEAVY = ("pandas", "sklearn", "pydantic", "yaml", "mlflow", "inspect_ai", "scipy", "click", "pyarrow")


def test_importing_router_lab_loads_nothing_heavy() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import router_lab"],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = {
        line.rsplit("|", 1)[-1].strip().split(".")[0] for line in done.stderr.splitlines() if "|" in line
    }
    assert "numpy" in loaded
    assert loaded.isdisjoint(HEAVY)


def test_drop_ins_load_no_host() -> None:
    code = "import sys, router_lab.integrations.clients, router_lab.integrations.gateway as g; print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not any(f"'{name}'" in done.stdout for name in (*HEAVY, "openai", "anthropic", "litellm"))


def test_help_loads_no_stage() -> None:
    code = "import sys, router_lab.cli; print([m for m in sys.modules if m.split('.')[0] in %r])"
    heavy = tuple(m for m in HEAVY if m != "click")
    done = subprocess.run([sys.executable, "-c", code % (heavy,)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_command_is_there_with_help() -> None:
    from click.testing import CliRunner

    from router_lab.cli import COMMANDS, cli

    runner = CliRunner()
    for name in COMMANDS:
        result = runner.invoke(cli, [name, "--help"])
        assert result.exit_code == 0, f"{name}: {result.output}"
        assert "Usage:" in result.output


def test_import_contracts_hold(root: Path) -> None:
    done = subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
