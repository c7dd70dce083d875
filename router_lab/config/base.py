"""Reading a user's YAML: unknown and doubled keys are errors, and every fault is one line."""

from __future__ import annotations

import codecs
import json
import math
from collections.abc import Hashable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from router_lab.masking import STARS, is_key
from router_lab.runtime.errors import InputError
from router_lab.runtime.reading import read_regular


def _no_truth(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("a number is wanted, and this is a truth value")
    return value


NotTruth = BeforeValidator(_no_truth)
"""For numbers: YAML's `true` is not 1."""
Share = Annotated[float, NotTruth, Field(ge=0, le=1)]
Positive = Annotated[float, NotTruth, Field(gt=0)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)]
M = TypeVar("M", bound="Strict")
LARGEST_YAML = 16 << 20
"""Bytes of a YAML file."""
MOST_VALUES = 1_000_000
"""Values of a YAML file once every alias (`*name`) is what it stands for: a few lines can stand
for billions."""
MOST_DIGITS = 100
MOST_DEEP = 100
"""Lists and mappings of a YAML file that stand in brackets inside of each other; PyYAML takes the
square of it."""
LONGEST_SHOWN = 80
"""Characters of a value that an error quotes: it may be the whole of a file that was meant for
something else."""


def _as_json(value: dict[str, Any]) -> dict[str, object]:
    try:
        json.dumps(value, allow_nan=False, sort_keys=True)
    except (TypeError, ValueError, RecursionError) as error:  # a date, a set, bytes; keys of two sorts; NaN
        raise ValueError(f"holds what JSON does not have: {error}; put dates into quotes") from None
    return value


JsonObject = Annotated[dict[str, Any], AfterValidator(_as_json)]
"""What is handed on as it is, to a provider or a task, and written into logs."""


class Strict(BaseModel):
    """A mapping whose unknown keys are errors, and whose fields do not change once read."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)
    page: ClassVar[str | None] = None
    """The page of the documentation that lists the keys, for errors."""
    instead: ClassVar[Mapping[str, str]] = {}
    """By keys that it does not have and people write, what to do."""


class ForwardCompatible(Strict):
    """What a program of ours wrote: a later version may say more, which is left alone."""

    model_config = ConfigDict(extra="ignore")


class _Careful(yaml.SafeLoader):
    """SafeLoader that refuses a key written twice, which plain YAML silently resolves to the last,
    aliases that stand for more than anybody could have meant, and numbers that are none."""

    def fetch_flow_collection_start(self, token: object) -> None:
        if self.flow_level >= MOST_DEEP:
            raise RecursionError
        super().fetch_flow_collection_start(token)

    def get_single_node(self) -> yaml.Node | None:
        node: yaml.Node | None = super().get_single_node()
        if node is not None:
            _refuse_bomb(node)
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> object:
        if node.tag.endswith(":int") and len(str(node.value)) > 2 * MOST_DIGITS:  # before it takes seconds
            raise _fault_at(node, f"an integer of more than {MOST_DIGITS} digits")
        try:
            found = super().construct_object(node, deep)
        except (ValueError, TypeError, OverflowError, AttributeError) as error:
            # A date such as 2026-13-45, an integer of 5,000 digits, a mapping as a key: PyYAML
            # lets them through.
            raise _fault_at(node, str(error)) from None
        if isinstance(found, str) and not found.isascii():
            # JSON writes a character beyond U+FFFF as two halves, which PyYAML leaves apart.
            found = found.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
        if isinstance(found, float) and not math.isfinite(found):
            raise _fault_at(node, f"{str(node.value)[:LONGEST_SHOWN]} is not a finite number")
        if isinstance(found, int) and abs(found) >= 10**MOST_DIGITS:
            raise _fault_at(node, f"an integer of more than {MOST_DIGITS} digits")
        return found

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise _fault_at(key_node, "a key is a list or a mapping; it must be a text or a number")
            if key in seen:
                raise _fault_at(key_node, f"key {key!r} is written twice")
            seen.add(key)
        return super().construct_mapping(node, deep)


def _fault_at(node: yaml.Node, problem: str) -> yaml.constructor.ConstructorError:
    return yaml.constructor.ConstructorError(None, None, problem, node.start_mark)


def _refuse_bomb(root: yaml.Node) -> None:
    """Raise for aliases that lead into themselves, and where what all of them stand for is more
    than MOST_VALUES."""
    sizes: dict[int, int] = {}
    above: set[int] = set()

    def size(node: yaml.Node) -> int:
        known = sizes.get(id(node))
        if known is not None:
            return known
        if id(node) in above:
            raise _fault_at(node, "an alias stands inside of what it stands for")
        if isinstance(node, yaml.ScalarNode):
            return 1
        above.add(id(node))
        inner = (
            [one for pair in node.value for one in pair] if isinstance(node, yaml.MappingNode) else node.value
        )
        total = 1 + sum(map(size, inner))
        above.discard(id(node))
        if total > MOST_VALUES:
            raise _fault_at(node, f"with its aliases it holds more than {MOST_VALUES:,} values")
        sizes[id(node)] = total
        return total

    size(root)


def read_yaml(path: str | Path) -> object:
    """The YAML document in `path`. Raises InputError with file and line."""
    data = read_regular(path, LARGEST_YAML)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        found = (
            "UTF-16"
            if data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
            else f"byte 0x{data[error.start]:02x}"
        )
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}: line {line}: is not UTF-8 ({found}); save it as UTF-8") from None
    return parse_yaml(text, path)


def parse_yaml(text: str, path: str | Path) -> object:
    """The YAML document `text`, which is of `path`. Raises InputError with file and line."""
    try:
        return yaml.load(text, Loader=_Careful)  # noqa: S506  # a SafeLoader subclass
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise InputError(
            f"{path}: line {line}: character U+{ord(str(error.character)[:1]):04X} cannot be in YAML"
        ) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}: " if mark else ""
        raise InputError(f"{path}: {place}{getattr(error, 'problem', None) or error}") from None
    except RecursionError:
        raise InputError(f"{path}: is nested too deeply") from None


def parse(model: type[M], data: object, *, where: str | Path) -> M:
    """`data` as `model`. Raises InputError: one line with `where`, the key, the value and the rule
    of each fault."""
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
    key = (
        ".".join(str(part) for part in error["loc"] if not str(part).startswith("function-"))
        or "(whole file)"
    )
    rule = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        known = _known_keys(model, error["loc"][:-1])
        listed = f"; known: {', '.join(known)}" if known else ""
        own = str(error["loc"][-1])
        homes = ", ".join(f"`{home}`" for home in dict.fromkeys(_homes(model, own)))
        listed += f"; `{own}` is a key under {homes}" if homes else ""
        listed += f"; {model.instead[own]}" if len(error["loc"]) == 1 and own in model.instead else ""
        return f"unknown key `{key}`{listed}{'' if model.page is None else f'; {model.page} says what each does'}"
    if error["type"] == "model_type" and not error["loc"]:
        wanted = ", ".join(_required(model) or list(model.model_fields)[:3])
        return f"must be a mapping with such keys as {wanted}, got {type(error['input']).__name__}"
    if error["type"] == "missing":
        return f"key `{key}` is missing"
    value = error["input"]
    if error["type"] == "too_short" and not value:
        field = model.model_fields.get(key)
        spare = "" if field is None or field.is_required() else ", or leave the key out"
        return f"`{key}` is {value!r}, and it must not be empty: name one at least{spare}"
    if isinstance(value, str) and is_key(key, value):
        value = STARS
    elif isinstance(value, str) and len(value) > LONGEST_SHOWN:
        value = value[:LONGEST_SHOWN] + "…"
    shown = f" is {value!r}" if isinstance(value, (str, int, float, bool, type(None))) else ""
    return f"`{key}`{shown}: {rule}"


def _known_keys(model: type[BaseModel], path: tuple[Any, ...]) -> list[str]:
    """Field names of the model at `path`, or nothing where the path leaves the models."""
    current, mapped = model, False
    for part in path:
        field = current.model_fields.get(part) if isinstance(part, str) else None
        if isinstance(part, int) or (field is None and mapped):  # an item, or a name of the user's own
            mapped = False
            continue
        nested = [] if field is None else _models_in(field.annotation)
        if field is None or not nested:
            return []
        current, mapped = nested[0], "dict" in str(field.annotation)
    return list(current.model_fields)


def _homes(model: type[BaseModel], key: str, seen: tuple[type[BaseModel], ...] = ()) -> Iterator[str]:
    """Where a key stands that is none here: the dotted keys under which `model` has it."""
    for name, field in model.model_fields.items():
        for inner in _models_in(field.annotation):
            if inner not in (model, *seen):
                yield from [name] if key in inner.model_fields else []
                yield from (f"{name}.{home}" for home in _homes(inner, key, (model, *seen)))


def _models_in(annotation: object) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for part in getattr(annotation, "__args__", ()) for m in _models_in(part)]
