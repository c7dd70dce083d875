"""Reading a user's YAML: unknown and doubled keys are errors, and every fault is one line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from router_lab.masking import STARS, is_key
from router_lab.runtime.errors import InputError

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)]
M = TypeVar("M", bound="Strict")
LONGEST_SHOWN = 80
"""Characters of a value that an error quotes: it may be the whole of a file that was meant for something else."""


class Strict(BaseModel):
    """A mapping whose unknown keys are errors, and whose fields do not change once read."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)
    page: ClassVar[str | None] = None
    """The page of the documentation that lists the keys, for errors."""


class _UniqueKeys(yaml.SafeLoader):
    """SafeLoader that refuses a key written twice, which plain YAML silently resolves to the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} is written twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def read_yaml(path: str | Path) -> Any:
    """The YAML document in `path`. Raises InputError with file and line."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    try:
        return yaml.load(text, Loader=_UniqueKeys)  # noqa: S506  # a SafeLoader subclass
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}: " if mark else ""
        raise InputError(f"{path}: {place}{getattr(error, 'problem', None) or error}") from None


def parse(model: type[M], data: Any, *, where: str | Path) -> M:
    """`data` as `model`. Raises InputError: one line with `where`, the key, the value and the rule of each fault."""
    if data is None:
        raise InputError(
            f"{where}: is empty; a {model.__name__} needs at least {', '.join(_required(model)) or 'a key'}"
        )
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise InputError(f"{where}: " + "; ".join(_fault(e, model) for e in error.errors()[:3])) from None


def load(model: type[M], path: str | Path) -> M:
    """The YAML file `path` as `model`. Raises InputError."""
    return parse(model, read_yaml(path), where=path)


def load_map(model: type[M], path: str | Path) -> dict[str, M]:
    """A YAML file that maps names to `model`s (suites.yaml, efforts.yaml). Raises InputError."""
    data = read_yaml(path)
    if not isinstance(data, dict):
        raise InputError(f"{path}: must map names to {model.__name__} settings, got {type(data).__name__}")
    return {str(name): parse(model, value, where=f"{path}: {name}") for name, value in data.items()}


def load_list(model: type[M], path: str | Path) -> list[M]:
    """A YAML file that is a list of `model`s (wire.yaml). Raises InputError."""
    data = read_yaml(path)
    if not isinstance(data, list):
        raise InputError(f"{path}: must be a list of {model.__name__} rows, got {type(data).__name__}")
    return [parse(model, value, where=f"{path}: row {number}") for number, value in enumerate(data, start=1)]


def _required(model: type[BaseModel]) -> list[str]:
    return [name for name, field in model.model_fields.items() if field.is_required()]


def _fault(error: Any, model: type[Strict]) -> str:
    key = ".".join(str(part) for part in error["loc"] if not str(part).startswith("function-")) or "(whole file)"
    rule = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        known = _known_keys(model, error["loc"][:-1])
        listed = f"; known: {', '.join(known)}" if known else ""
        return f"unknown key `{key}`{listed}{'' if model.page is None else f'; {model.page} says what each does'}"
    if error["type"] == "model_type" and not error["loc"]:
        wanted = ", ".join(_required(model) or list(model.model_fields)[:3])
        return f"must be a mapping with such keys as {wanted}, got {type(error['input']).__name__}"
    if error["type"] == "missing":
        return f"key `{key}` is missing"
    value = error["input"]
    if isinstance(value, str) and is_key(key, value):
        value = STARS
    elif isinstance(value, str) and len(value) > LONGEST_SHOWN:
        value = value[:LONGEST_SHOWN] + "…"
    shown = f" is {value!r}" if isinstance(value, (str, int, float, bool, type(None))) else ""
    return f"`{key}`{shown}: {rule}"


def _known_keys(model: type[BaseModel], path: tuple[Any, ...]) -> list[str]:
    """Field names of the model at `path`, or nothing where the path leaves the models."""
    current: Any = model
    for part in path:
        field = getattr(current, "model_fields", {}).get(part) if isinstance(part, str) else None
        if isinstance(part, int):
            continue
        if field is None:
            return []
        nested = _models_in(field.annotation)
        current = nested[0] if nested else None
    return list(getattr(current, "model_fields", {}))


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for part in getattr(annotation, "__args__", ()) for m in _models_in(part)]
