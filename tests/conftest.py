"""Shared by all tests, tests/runtime included, which run beside numpy alone: nothing heavy is imported here."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# A test asserts what is computed, never how long it took: this box is shared and slow at times.
settings.register_profile("router_lab", deadline=None)
settings.load_profile("router_lab")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def mlflow_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database with its tables, to copy: making them takes a second."""
    from router_lab.tracking.store import open_client

    path = tmp_path_factory.mktemp("made") / "mlflow.db"
    open_client(str(path))
    return path


@pytest.fixture(autouse=True)
def no_keys_of_other_tests() -> Iterator[None]:
    """Keys that a process has used are starred in all that it writes later; a test's end with it."""
    masking = sys.modules.get("router_lab.masking")
    before = set(masking._KNOWN) if masking is not None else set()
    yield
    masking = sys.modules.get("router_lab.masking")
    if masking is not None:
        masking._KNOWN.intersection_update(before)
