"""MLflow, and the only importer of it: a mirror of what each stage found, written last and never
read by a stage."""

from router_lab.tracking.faults import MirrorError
from router_lab.tracking.log import log_policy, log_sweep
from router_lab.tracking.registry import (
    Version,
    fetch_version,
    move_alias_to_revision,
    refuse_name,
    register_version,
)
from router_lab.tracking.runs import EXPERIMENT, Run, Tracked, log_runs
from router_lab.tracking.store import warning_about_inspect_mlflow
from router_lab.tracking.uri import Opening, opening, server_command, store_uri

__all__ = [
    "EXPERIMENT",
    "MirrorError",
    "Opening",
    "Run",
    "Tracked",
    "Version",
    "fetch_version",
    "log_policy",
    "log_runs",
    "log_sweep",
    "move_alias_to_revision",
    "opening",
    "refuse_name",
    "register_version",
    "server_command",
    "store_uri",
    "warning_about_inspect_mlflow",
]
