"""Which of LiteLLM's model groups answered in another's place, as it says so of a response, in its
log and of attempts that failed. No LiteLLM is needed here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from router_lab.integrations.answers import field, items
from router_lab.integrations.failures import all_refused


def models_of(router: Any) -> set[str]:
    """The names by which LiteLLM's router has models: its groups and their aliases."""
    names: set[str] = router.model_names
    return names | router.model_group_alias.keys() if router.model_group_alias else names


def fell_back(response: object, asked: str | None, router: Any) -> str | None:
    """The model group that gave a response, where LiteLLM fell back to it by itself; None where the
    one that was `asked` did."""
    said = field(field(response, "_hidden_params"), "additional_headers")
    times, group = (field(said, f"x-litellm-{name}") for name in ("attempted-fallbacks", "model-group"))
    return _another(times, group, asked, router)


def logged_fallback(kwargs: Mapping[str, Any], asked: str | None, router: Any) -> str | None:
    """The same, as LiteLLM logs it: of a stream that broke off it is known at its end alone."""
    params = kwargs.get("litellm_params")
    said = field(params, "litellm_metadata") or field(params, "metadata")
    return _another(field(said, "attempted_fallbacks"), field(said, "model_group"), asked, router)


def refused_before(data: Mapping[str, Any]) -> bool:
    """Whether each attempt before the last one was refused, as far as LiteLLM has put it down."""
    noted = (field(data.get(name), "previous_models") for name in ("litellm_metadata", "metadata"))
    return all(all_refused(field(one, "exception_type") for one in items(found)) for found in noted)


def _another(times: object, group: object, asked: str | None, router: Any) -> str | None:
    if not isinstance(times, int) or times <= 0:
        return None
    if not isinstance(group, str) or not group:
        return "another model"
    deployment = router.get_deployment(model_id=group)  # a fallback may name one by its id
    named = group if deployment is None else str(deployment.model_name)
    return None if _meant(named, router) == _meant(asked, router) else named


def _meant(group: str | None, router: Any) -> object:
    """The group that a name stands for, which may be an alias."""
    found = router.model_group_alias.get(group, group)
    return found.get("model") if isinstance(found, dict) else found
