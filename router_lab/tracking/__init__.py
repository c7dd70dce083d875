"""MLflow, and the only importer of it: a mirror of what each stage found, written last and never read by a stage."""

from router_lab.tracking.log import EXPERIMENT, Run, Tracked, log_policy, log_runs, log_sweep
from router_lab.tracking.registry import Version, fetch_version, move_alias_to_revision, register_version
from router_lab.tracking.store import server_command, store_uri, warning_about_inspect_mlflow

__all__ = [
    "EXPERIMENT",
    "Run",
    "Tracked",
    "Version",
    "fetch_version",
    "log_policy",
    "log_runs",
    "log_sweep",
    "move_alias_to_revision",
    "register_version",
    "server_command",
    "store_uri",
    "warning_about_inspect_mlflow",
]
