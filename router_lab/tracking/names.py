"""Names as MLflow can hold them: what is plain stays as it is, all else gets a digest, so that no
two become one.

MLflow takes letters of any script, digits, `_ . - :` and blanks in a metric's name, parts of a
path that stay where they are (no `.` or `..`), and 250 characters. MySQL and SQL Server take
`Maths`, `maths ` and `máths` for one name.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

MOST = 160  # of a part, so that a name of parts keeps within MLflow's 250
_METRIC, _KEY, _FILE, _LABEL = (
    r"[^\w. :-]",
    r"[^A-Za-z0-9-]",
    r"[^\w. ()+=-]",
    r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]",
)
_DIGEST = re.compile(r"-x[0-9a-f]{10}", re.IGNORECASE)


def metric_part(name: str) -> str:
    """`name` as one part of a metric's name, readable and its own: `a/b` becomes `a_b-x` and ten
    digits of its hash."""
    return _held(name, _METRIC, MOST)


def metric_name(*parts: str) -> str:
    """A metric's name of `parts` joined by slashes."""
    return "/".join(metric_part(part) for part in parts)


def suite_names(suites: Iterable[str]) -> dict[str, str]:
    """Suite → its part of metric names; suites that a database could take for one another all get
    a digest."""
    known = sorted(set(suites))
    alike = Counter(folded(suite) for suite in known)
    return {s: metric_part(s) if alike[folded(s)] == 1 else _with_digest(s, _METRIC, MOST) for s in known}


def folded(name: str) -> str:
    """What is left of a name under the loosest comparison that a database makes: no case, accents
    or blanks behind."""
    spelled = unicodedata.normalize("NFKD", name)
    return "".join(c for c in spelled if not unicodedata.combining(c)).casefold().rstrip()


def key_part(name: str, *, apart: bool = False) -> str:
    """`name` as a part of a tag's key and of an address: letters, digits and dashes; apart: with
    its digest anyway."""
    return _with_digest(name, _KEY, MOST) if apart else _held(name, _KEY, MOST)


def file_name(name: str) -> str:
    """A file's name as an artifact: MLflow loses what stands behind `#`, and decodes `%`; the
    ending stays."""
    stem, dot, ending = name.rpartition(".")
    if not dot or not stem or re.search(_FILE, ending) or len(ending) > 16:
        return _held(name, _FILE, MOST)
    return f"{_held(stem, _FILE, MOST)}.{ending}"


def label(name: str) -> str:
    """A run's name: any text of a line, at most 250 characters (the column of MLflow's
    databases)."""
    return _held(name, _LABEL, 250)


def _held(name: str, refused: str, most: int) -> str:
    nothing = not name.strip(" .")  # `.` and `..` are places, not names
    looks_made = _DIGEST.fullmatch(name[-12:]) is not None
    plain = not (nothing or looks_made or len(name) > most or re.search(refused, name))
    return name if plain else _with_digest(name, refused, most)


def _with_digest(name: str, refused: str, most: int) -> str:
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:10]
    return f"{re.sub(refused, '_', name)[: most - 12]}-x{digest}"
