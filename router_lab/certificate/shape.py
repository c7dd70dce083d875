"""A JSON object as a frozen type: the types of its fields say what it may hold, and it is read and
written by them.

A field without a default must be there; one whose type does not allow None must not be null. Keys
that no field names may hold anything, and are written back as they were read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Annotated, Any, NamedTuple, NoReturn, Self, get_args, get_origin, get_type_hints

from router_lab.runtime.errors import PolicyError

MOST = 1e100
"""No dollars, shares or counts of ours come near it; beyond, arithmetic on pages overflows."""
ROUNDING = 1e-9
Reader = Callable[[Any, str], Any]
"""From a value and where it stands to what a field holds; raises PolicyError."""


def _is(
    kinds: type | tuple[type, ...], rule: str, also: Callable[[Any], bool] = lambda value: True
) -> Reader:
    def read(value: object, where: str) -> object:
        if not isinstance(value, kinds) or (kinds is not bool and isinstance(value, bool)) or not also(value):
            _refuse(where, value, f"is not {rule}")
        return value

    return read


Text = Annotated[str, _is(str, "text")]
TextOrNull = Annotated[str | None, _is((str, type(None)), "text or null")]
Flag = Annotated[bool, _is(bool, "true or false")]
Number = Annotated[
    float, _is((int, float), f"a number within ±{MOST:g}", lambda value: -MOST <= value <= MOST)
]
Share = Annotated[
    float, _is((int, float), "a share from 0 to 1", lambda value: -ROUNDING <= value <= 1 + ROUNDING)
]  # fmt: skip
Count = Annotated[int, _is(int, "a whole number of 0 or more", lambda value: 0 <= value <= MOST)]


class _Key(NamedTuple):
    """One key of an object: how its value is read, whether it must not be null, or must at least
    be there, and whether it is left out, not null, where there is nothing to say."""

    read: Reader
    needed: bool
    there: bool
    omitted: bool


OMITTED = {"omitted": True}
"""Metadata of a field that is left out of the JSON where it is None, and not written as null."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """An object of certificate.json. Subclasses are frozen dataclasses whose fields, in the order
    in which a fit writes them, are of the types above, Parts, or tuples and mappings of these; `|
    None` for what may be null."""

    said: Mapping[str, Any] | None = field(default=None, repr=False, compare=False)
    """The object that it was read from, for its keys that no field names and for their order; None
    = was not read."""

    @classmethod
    def from_json(cls, value: object, where: str = "") -> Self:
        """Read an object that stands at `where` in certificate.json. Raises PolicyError naming the
        key at fault."""
        if not isinstance(value, Mapping):
            _refuse(where, value, "is not an object")
        keys = _keys(cls)
        lacking = [name for name, key in keys.items() if key.needed and value.get(name) is None]
        lacking += [name for name, key in keys.items() if key.there and name not in value]
        lacking += cls.lacking(value)
        if lacking:
            _refuse(_within(where, lacking[0]), None, "is missing")
        found: dict[str, Any] = dict.fromkeys(keys)
        for name, one in value.items():
            if one is not None and name in keys:
                found[name] = keys[name].read(one, _within(where, name))
        return cls(said=dict(value), **found)

    @classmethod
    def lacking(cls, value: Mapping[str, object]) -> list[str]:
        """Keys that are missing because of what other keys say."""
        return []

    def to_json(self) -> dict[str, Any]:
        """Plain data: what `from_json` read, key for key, or every field of what a fit has
        made."""
        said = {} if self.said is None else self.said
        own = {name: _plain(getattr(self, name)) for name in _keys(type(self))}
        null = {name for name, key in _keys(type(self)).items() if self.said is None and not key.omitted}
        return {
            **said,
            **{n: value for n, value in own.items() if value is not None or n in null or n in said},
        }


def _plain(value: object) -> object:
    if isinstance(value, Part):
        return value.to_json()
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return {name: _plain(one) for name, one in value.items()} if isinstance(value, Mapping) else value


_KEYS: dict[type[Part], dict[str, _Key]] = {}


def _keys(kind: type[Part]) -> dict[str, _Key]:
    """The keys that a type names; its annotations are looked at once."""
    if kind not in _KEYS:
        hints = get_type_hints(kind, include_extras=True)
        own = [(one, *_reader(hints[one.name])) for one in fields(kind) if one.name != "said"]
        _KEYS[kind] = {
            one.name: _Key(reader, not nullable, one.default is MISSING, bool(one.metadata.get("omitted")))
            for one, reader, nullable in own
        }
    return _KEYS[kind]


def _reader(hint: object) -> tuple[Reader, bool]:
    """How a value of this type is read, and whether it may be null."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return inner[1], False
    if isinstance(hint, type) and issubclass(hint, Part):
        return hint.from_json, False
    if type(None) in inner:
        return _reader(next(kind for kind in inner if kind is not type(None)))[0], True
    reader, _ = _reader(inner[0] if origin is tuple else inner[1])
    return (_each if origin is tuple else _by_name)(reader), False


def _each(reader: Reader) -> Reader:
    def all_of(value: object, where: str) -> tuple[Any, ...]:
        listed = _is(list, "a list")(value, where)
        return tuple(reader(one, f"{where}[{place}]") for place, one in enumerate(listed))

    return all_of


def _by_name(reader: Reader) -> Reader:
    def all_of(value: object, where: str) -> dict[str, object]:
        named = _is(Mapping, "an object")(value, where)
        return {name: reader(one, f"{where}.{name}") for name, one in named.items()}

    return all_of


def _within(where: str, name: str) -> str:
    return f"{where}.{name}".lstrip(".")


def _refuse(where: str, value: object, rule: str) -> NoReturn:
    told = "" if value is None else f"{value!r:.60} "
    raise PolicyError(
        f"certificate.json: {where or 'the file'}: {told}{rule}, so this certificate cannot be read; "
        "take the artifact from where it was fitted, or fit again"
    )
