"""What importing the package costs and asks for."""

from __future__ import annotations

import subprocess
import sys

HEAVY = (
    "pandas",
    "sklearn",
    "pydantic",
    "yaml",
    "mlflow",
    "inspect_ai",
    "scipy",
    "click",
    "cryptography",
    "opentelemetry",
)


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_package_exports_four_names_and_loads_nothing_heavy() -> None:
    code = f"import sys, router_lab; print(router_lab.__all__, [m for m in {HEAVY!r} if m in sys.modules])"
    assert run(code) == "['Decision', 'Policy', '__version__', 'load_policy'] []"


def test_without_numpy_the_error_says_what_to_install() -> None:
    code = (
        "import sys\nsys.modules['numpy'] = None\n"
        "try:\n    import router_lab\nexcept ImportError as error:\n    print(error)"
    )
    assert run(code) == "router_lab needs numpy, its only dependency: pip install 'numpy>=1.26'"


def test_the_runtime_hands_out_its_public_classes_and_loads_each_only_when_asked() -> None:
    before = "import sys, router_lab; parts = ('budget', 'decisions', 'store')\n"
    loaded = "print([p for p in parts if f'router_lab.runtime.{p}' in sys.modules])\n"
    asked = "from router_lab.runtime import Budget, BudgetExceeded, DecisionLog, PolicyError, PolicyStore\n"
    names = "print(Budget.__name__, BudgetExceeded.__name__, DecisionLog.__name__, PolicyStore.__name__)"
    assert run(before + loaded + asked + loaded + names).splitlines() == [
        "[]",
        "['budget', 'decisions', 'store']",
        "Budget BudgetExceeded DecisionLog PolicyStore",
    ]
    missing = (
        "try:\n    from router_lab.runtime import Bugdet\nexcept ImportError as error:\n    print(error)"
    )
    assert run(missing).startswith("cannot import name 'Bugdet' from 'router_lab.runtime'")
