"""Ask every address that README.md, CONTRIBUTING.md and docs/ link to whether it still answers. Needs a network; the
exit status is 1 where one is gone (404, 410) or no such host is known."""

from __future__ import annotations

import re
import sys
import urllib.error
import urllib.request
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(r"\]\((https?://[^)\s]+)\)")
GONE = (404, 410)
AGENT = "router-lab link check"


def links() -> dict[str, list[str]]:
    """Address -> the pages that link to it; what stands in code is an example."""
    found: dict[str, list[str]] = defaultdict(list)
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]:
        prose = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
        for address in LINK.findall(prose):
            found[address.partition("#")[0]].append(page.name)
    return found


def asked(address: str) -> str:
    """`200`, another status, or why there was none."""
    request = urllib.request.Request(address, headers={"User-Agent": AGENT})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return str(answer.status)
    except urllib.error.HTTPError as error:
        return str(error.code)
    except (OSError, ValueError) as error:
        return str(getattr(error, "reason", error))


def main() -> int:
    found = links()
    with ThreadPoolExecutor(8) as pool:
        answers = dict(zip(found, pool.map(asked, found), strict=True))
    for address in sorted(found, key=lambda one: (answers[one] == "200", one)):
        print(f"{answers[address]:<6} {address}  ({', '.join(sorted(set(found[address])))})")
    gone = [one for one, answer in answers.items() if not answer.isdigit() or int(answer) in GONE]
    print(f"{len(found)} addresses, {len(gone)} gone")
    return 1 if gone else 0


if __name__ == "__main__":
    sys.exit(main())
