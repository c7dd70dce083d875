"""Keys stay where they are used: references in what is written, values at the last moment, stars
where one slips out.

A setting may name a variable of the environment, `${NAME}`. A key that was written out all the
same is taken for such a reference to itself (`${config.extra_headers.Authorization}`), so that no
log, manifest or artifact ever holds it.
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus, unquote, urlsplit

from router_lab.runtime.errors import InputError

STARS = "***"
_NAME = re.compile(
    r"(^|[-_.])(pass(w(or)?d|phrase|code)?s?|pwd|pat|jwt|dsn|pem|credentials?|authorization|auth|cookies?|bearers?|sig|"
    r"signature|connection[-_]?string|(client[-_]?)?secrets?([-_](key|id|value|string))?|"
    r"(api|access|account|app|application|auth|client|encryption|gateway|licen[cs]e|master|private|proxy|secret|service|"
    r"session|shared|signing|subscription|team|user|virtual)[-_]?keys?)$|"
    r"(?<!bos)(?<!cls)(?<!end)(?<!eos)(?<!mask)(?<!pad)(?<!per)(?<!sep)(?<!start)(?<!stop)(?<!unk)(?<!next)(?<!first)"
    r"(?<!last)(?<!image)(?<!max)(?<!of)(?<!special)(?<!text)(?<!turn)(?<!tool)(?<!think)[-_.]token$|^token$|"
    r"(^|[-_.])(access|api|auth|bearer|hf|id|refresh|security|session|user|x)token$", re.I,
)  # fmt: skip
"""Names of settings, headers, URL parameters and variables whose values are keys; `max_tokens` and
`stop_token` are none of them. Camel case is read as if it had underscores."""
_CARRIER = re.compile(r"(^|[-_.])(headers?|query([-_]params)?)$", re.I)
"""Mappings in which a gateway's key may have any name: each value is a key there unless it is
known to be none."""
_HARMLESS = re.compile(
    r"^(accept([-_].*)?|content[-_].*|user[-_]agent|(http[-_])?referr?er|x[-_]title|(anthropic|openai)[-_](beta|version)|"
    r"api[-_]version|x[-_](stainless|ms[-_]client|request[-_]id).*|.*[-_]?cache[-_]control|date|host|origin|connection|"
    r"priority|region|model|deployment)$", re.I,
)  # fmt: skip
"""Headers and parameters that say nothing secret."""
_PLAIN = re.compile(r"[a-z]+|\d{4}-\d{2}-\d{2}(-preview|T[\d:.]+Z?)?")
"""Lower-case words and dates: nothing that anybody would keep to themselves."""
SOME_VALUE = "a value of some length"
_SCHEMA = "properties"
_VALUE = re.compile(
    r"^(Bearer|Basic|Token|ApiKey|Key) \S{6}|-----BEGIN |^\w+://[^/\s@]+@|"
    r"^(sk|pk|rk|hf|gsk|xai|pplx|nvapi|tvly|r8|dop|shp[a-z]{2}|gh[a-z]|github_pat|xox[a-z]|glpat|AKIA|ASIA|AIza|eyJ)"
    r"[-_A-Za-z0-9]{12}"
)
"""Values that are keys whatever they are called; of a URL, that it holds a user."""
_SHAPED = re.compile(r"\b[Bb]earer\s+[\w.~+/=-]{8,}|\bsk-[\w-]{16,}")
"""What has the form of a key in running text."""
_REFERENCE = re.compile(r"\$\{([A-Za-z_][\w.-]*)\}")
_URL = re.compile(r"(\w+://)([^/\s@'\"]+)@")
_PARAMETER = re.compile(r"([?&])([\w.-]+)=([^&\s'\"#]+)")
_FOLDERS = ("PWD", "OLDPWD")
"""Variables of every shell, where the folder stands in which a command runs."""
_SHORTEST = 8
"""Characters from which a value is looked for in texts: `none` and `test` stand in many."""
_KNOWN: set[str] = set()


def hidden(tree: object, path: str, found: dict[str, Any]) -> Any:
    """`tree` (JSON) with a reference for every key in it, of which `found` then knows the value.

    path: where it stands, such as `args`; the reference is made of that, so it is the same
    whatever the value is.
    """
    if isinstance(tree, Mapping):
        return {key: hidden(value, f"{path}.{key}", found) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [hidden(value, f"{path}.{number}", found) for number, value in enumerate(tree)]
    if not isinstance(tree, str | int | float) or isinstance(tree, bool):
        return tree
    # Beside references only what could be a key itself: a scheme, such as `Bearer`, is none.
    parts = _REFERENCE.split(str(tree))
    words = (
        [str(tree)]
        if len(parts) == 1
        else [w for part in parts[::2] for w in part.strip(" :;,").split() if _own(w)]
    )
    if not any(is_key(path, word) for word in words):
        return tree
    name = re.sub(r"[^\w.-]", "-", path)
    found[name] = tree
    return f"${{{name}}}"


def revealed(tree: object, found: Mapping[str, object], where: str, path: str | None = None) -> Any:
    """`tree` with the values of its references: of `found`, else of the environment. Raises
    InputError for one that is not set. From then on the values are stars in every text that
    `masked` sees.

    path: where it stands, for what may hold other texts that look like references, such as the
    arguments of a task: a variable of the environment is then put in only where a key is expected.
    """

    def of_environment(match: re.Match[str]) -> str:
        kept = os.environ.get(match[1])
        if kept is None:
            raise InputError(f"{where}: {match[0]} is not set in the environment")
        know(kept)
        return kept

    def value(match: re.Match[str]) -> str:
        if match[1] in found:  # which may hold references itself, beside what is written out
            known = _REFERENCE.sub(of_environment, str(found[match[1]]))
            know(known)
            return known
        return match[0] if path is not None and not is_key(path, SOME_VALUE) else of_environment(match)

    if isinstance(tree, Mapping):
        below = ((key, None if path is None else f"{path}.{key}") for key in tree)
        return {key: revealed(tree[key], found, where, at) for key, at in below}
    if isinstance(tree, list | tuple):
        return [
            revealed(inner, found, where, None if path is None else f"{path}.{number}")
            for number, inner in enumerate(tree)
        ]
    if not isinstance(tree, str):
        return tree
    whole = _REFERENCE.fullmatch(tree)
    if whole and whole[1] in found and not isinstance(found[whole[1]], str):
        know(str(found[whole[1]]))
        return found[whole[1]]
    return _REFERENCE.sub(value, tree)


def _own(word: str) -> bool:
    """Whether a word beside references may be a key itself: a scheme such as `Bearer` is none."""
    return len(word) >= _SHORTEST and not _PLAIN.fullmatch(word)


def has_references(tree: object) -> bool:
    """Whether anything in it waits for a value."""
    if isinstance(tree, Mapping):
        return any(map(has_references, tree.values()))
    if isinstance(tree, list | tuple):
        return any(map(has_references, tree))
    return isinstance(tree, str) and _REFERENCE.search(tree) is not None


def is_key(name: str, value: str) -> bool:
    """Whether a setting of that name (a path with dots), and with that value, is a key.

    So it is below a name of keys (`auth: [user, password]`), and in a mapping of headers or
    parameters, where a gateway's key may have any name, unless name or value are known to be
    harmless.
    """
    if not value:
        return False
    parts = _snake(name).split(".")
    if _VALUE.search(value) or ("=" in value and _PARAMETER.sub(_parameter, value) != value):
        return True
    if _SCHEMA in parts:  # which describes what may be called a password, and holds none
        return False
    if any(_NAME.search(part) for part in parts):
        return True
    carried = any(_CARRIER.search(part) for part in parts[:-1])
    return carried and _own(value) and not _HARMLESS.match(parts[-1])


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)


def know(value: object) -> None:
    """Have `masked` put stars for this value."""
    if (
        isinstance(value, str)
        and value not in _KNOWN
        and len(value) >= _SHORTEST
        and not (value.isalpha() and value.islower())
    ):
        _KNOWN.update(_forms(value))
        # A header's value is a scheme and the key itself, which a server may quote alone.
        alone = value.rpartition(" ")[2]
        _KNOWN.update(_forms(alone) if len(alone) >= _SHORTEST else ())


def _forms(value: str) -> set[str]:
    """How a text may hold a key: as it is, in JSON, in a URL or a form, in base64 with its padding
    or without."""
    whole = value.encode("utf-8", "replace")
    coded = {base64.b64encode(whole).decode(), base64.urlsafe_b64encode(whole).decode()}
    return {
        value, json.dumps(value)[1:-1], quote(whole, safe=""), quote(whole), quote_plus(whole),
        *coded, *(text.rstrip("=") for text in coded),
    }  # fmt: skip


def know_user(url: str) -> None:
    """Have `masked` put stars for the password of a URL, also as a header carries it."""
    user, separator, password = urlsplit(url).netloc.rpartition("@")[0].partition(":")
    if separator:
        know(unquote(password))
        know(base64.b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode())


def starred(text: str) -> str:
    """`text` with stars for keys that were used and those in the environment."""
    for value in keys_known():
        text = text.replace(value, STARS)
    return text


def masked(text: str) -> str:
    """`starred`, and stars for what has the form of a key, and for the passwords and keys in URLs,
    wherever they come from."""
    return masker()(text)


def masker() -> Callable[[str], str]:
    """`masked` for many texts: the environment is looked at once."""
    known = keys_known()

    def mask(text: str) -> str:
        for value in known:
            text = text.replace(value, STARS)
        text = _URL.sub(rf"\1{STARS}@", text) if "://" in text else text
        text = _PARAMETER.sub(_parameter, text) if "=" in text else text
        return _SHAPED.sub(STARS, text)

    return mask


def masked_tree(tree: object, mask: Callable[[str], str] = masked) -> Any:
    """`tree` (JSON) with every text in it masked."""
    if isinstance(tree, dict):
        return {key: masked_tree(value, mask) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [masked_tree(value, mask) for value in tree]
    return mask(tree) if isinstance(tree, str) else tree


def without_keys(tree: object) -> Any:
    """`tree` (JSON) masked, with stars for every text whose name says that it is a key."""
    mask = masker()

    def clean(value: object, name: str) -> Any:
        if isinstance(value, Mapping):
            return {key: clean(inner, str(key)) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [clean(inner, "") for inner in value]
        if not isinstance(value, str):
            return value
        return STARS if value and _NAME.search(_snake(name)) else mask(value)

    return clean(tree, "")


def file_with_key(path: Path) -> Path | None:
    """The first file at or below `path` that holds a key of the environment or one that was used,
    or None."""
    known = [value.encode() for value in keys_known()]
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    return next((f for f in files if known and any(value in f.read_bytes() for value in known)), None)


def mask_error(error: BaseException) -> None:
    """Put stars into an exception, its attributes and those that led to it, in place: it is still
    itself."""
    waiting, seen = [error], set()
    while waiting:
        at = waiting.pop()
        seen.add(id(at))
        at.args = tuple(masked(part) if isinstance(part, str) else part for part in at.args)
        for name, value in list(vars(at).items()):
            if isinstance(value, str | dict | list):
                setattr(at, name, masked_tree(value))
        waiting += [led for led in (at.__cause__, at.__context__) if led is not None and id(led) not in seen]


def _parameter(match: re.Match[str]) -> str:
    return f"{match[1]}{match[2]}={STARS}" if match[2] == "key" or _NAME.search(match[2]) else match[0]


def keys_known() -> list[str]:
    """Values of keys that were used or stand in the environment, the longest first."""
    for name, value in os.environ.items():
        if name not in _FOLDERS and (_NAME.search(name) or name.endswith(("_KEY", "_TOKEN"))):
            know(value)
    return sorted(_KNOWN, key=lambda value: (-len(value), value))
