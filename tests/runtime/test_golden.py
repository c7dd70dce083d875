"""Every published schema_version loads for ever and decides as it did: pinned by hash. The same in another language."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from functools import partial
from pathlib import Path

import pytest

from router_lab import load_policy
from router_lab.runtime import codec
from router_lab.runtime.answers import features_of
from router_lab.runtime.artifact import save_policy
from router_lab.runtime.golden import walk
from router_lab.runtime.harness import Harness
from router_lab.runtime.model import Candidate
from router_lab.runtime.standing import first_second

REVISIONS = {
    ("v1", "identity"): "bb04b2862602785af8afa67f7a82c9d473ab9f91d99ecaf14c9f91e0d67991bb",
    ("v1", "bounded"): "8594c38f396370e33d5eadac7854216dc8bace181deed61adec09d9b30a20515",
    ("v1", "guarded"): "bacfae8366de23881ce5863f23015d67b75fb6be89f9b8dc97c5370f3c2f08e2",
    ("v1", "heads"): "74594f6e9abb8050e826675e2eb6eab3986c0d04e616497a3268f06f179242a5",
    ("v1", "log2ish"): "1a72720ec1a1254a5a8a645d654994bcdb71a55c487dad9f5b9881a28a98ca54",
    ("v1", "sessions"): "64ed8d0f9e3d5dd85624e9ebc04033487537a2b5779e859962e88acca89fedc1",
    ("v1", "unknown"): "6d0755430e8a69c47d7fe31fa21a19a6c311c2aa0f7b3472a2027206f1c681fd",
    ("v2", "vector"): "012a7e319694d37eabbbe1f437590f49a295e685435a5dbb1fb82339d320f54e",
    ("v3", "pieces"): "1c551d25ae056feb7ee8d84fecb582553749d83f02827905d301ac01fd10550b",
    ("v3", "steered"): "fb6fb0d196e8580fe703e7ba176ccfac36857006ebcc8c78e8febd699a5d6cf7",
    ("v4", "chains"): "37e9b938cb8afeef15c5d02e64d02cdea4e65a3e544343a29d7142399dec4326",
    ("v4", "steered-chains"): "526a51f916b1b7209f51ab15080ebabcc0b21a85f53f585a52db5cd43aa9b223",
    ("v4", "shared"): "d707760a87ae80318b94e5a815f2a9ec5e0de4ae92361590afe0b69ba7003a36",
    ("v4", "turns"): "06d0415a0c474fc47180bf02e7801ec742ff450f61a619bdc43e9daa07d14996",
    ("v4", "under-cap"): "e425e12c94fe16017bdf5c112c843c262b5c15579d12cf12888afc31e73920af",
    ("v5", "harnesses"): "109979539645318d8b189b3544a89f8ffdcb4954842495a77b395e32aa9b4bbb",
    ("v5", "team"): "bc3837f69952633ca0ba06ffe4d7ef4dd10ec1e00567de5965cb1c54221fb8d8",
    ("v6", "life"): "e5f24573a7c0522c03cba8702be42c964813282fabb60f76dd1741cb7cd6c4ab",
    ("v6", "life-chains"): "f898b85d582018b15442291970b7ecef858227d119991982f6f7acc8dbf63df0",
}
VECTORS = {
    ("v1", "identity"): "6724a7dfe0535029bbc43e64ee3db12a66075f2fea82ad9fad4d707bfd4f4314",
    ("v1", "bounded"): "81c6db09193df8ebd604c6bbb0f3ad6abe6da948242fdb1851c92f7af0c355c8",
    ("v1", "guarded"): "d49695898f2c4805443f737cc4c887bd7d940528d30fc8c2f7bc262b785a2a92",
    ("v1", "heads"): "ddb4647f473b945b6f88b7a4ad816ca8190654672a148e6d0f33c551b6e3ae3b",
    ("v1", "log2ish"): "f1b7d3dd378a4aea75ea96bb65648db6c0541f2a2cc144f3a83a47f97bc63fc1",
    ("v1", "sessions"): "6724a7dfe0535029bbc43e64ee3db12a66075f2fea82ad9fad4d707bfd4f4314",
    ("v1", "unknown"): "2501316891a2dffa6010b7ad096e0391a705cd370ce88767a8c83e4eeccc5408",
    ("v2", "vector"): "200530c7edb9eaf2882623aa2bc76e3eff751ccdbd34d16b039f4c5783a6acc6",
    ("v3", "pieces"): "ceda63b61241147182269239a8a2faacb214977fdafa9b0ca5b12cad0dc88a4c",
    ("v3", "steered"): "d33aca1a6f774f39e67e1d16e738bbfb5310630266a5c70a26ddac61c5ffa56c",
    ("v4", "chains"): "f0b0f8be662864ed0ca731fc5b575fa7d1aefe33d29b536924acf0c3ec38a6f6",
    ("v4", "steered-chains"): "90a35eda5dfff3142802022c7ca3a7b765be825c1c02111d6b7c08d4ad1b3a8e",
    ("v4", "shared"): "88268f163fdfa7b6c537f1a414e8a398b981248fd86d11856921cc3a698216a5",
    ("v4", "turns"): "f0b0f8be662864ed0ca731fc5b575fa7d1aefe33d29b536924acf0c3ec38a6f6",
    ("v4", "under-cap"): "f0b0f8be662864ed0ca731fc5b575fa7d1aefe33d29b536924acf0c3ec38a6f6",
    ("v5", "harnesses"): "4c47136d71e97afea69807fa781442d8ee74541c0f286c071a7d1c5a0988026a",
    ("v5", "team"): "4ce086705976cc5e1ee148cd277d9d6070f04924dee0312a33c280126090012e",
    ("v6", "life"): "5d0f07078e9c14c3bf35c4abe6e49a61a573d2c5eb10d87f71eae97e2a97e871",
    ("v6", "life-chains"): "85a8fb84ef89e9a8d6b23f33a909a6422cdb9a0a42dce26f2183b7acd12dd2a6",
}
CHECKED = {
    "chains": 1341, "steered-chains": 1341, "harnesses": 1101 + 77, "team": 1341 + 43, "life": 1101 + 120,
    "life-chains": 1341 + 120, "shared": 1341, "turns": 1341, "under-cap": 1341,
}  # fmt: skip
"""How much the loader in another language compares: 9 values of 120 vectors and 21 lines of the self-test; of chains 2
values more, a harness where there is one, and the propensity where something is explored."""
GOLDEN = Path(__file__).resolve().parent.parent / "golden"


def test_every_schema_version_has_golden_artifacts() -> None:
    assert {version for version, _ in REVISIONS} == {f"v{number}" for number in codec.READERS}


@pytest.mark.parametrize(("version", "name"), REVISIONS)
def test_a_published_artifact_decides_as_it_did(version: str, name: str) -> None:
    policy = load_policy(GOLDEN / version / name)
    assert policy.revision == REVISIONS[version, name]
    data = (GOLDEN / version / f"{name}.vectors.jsonl").read_bytes()
    assert hashlib.sha256(data).hexdigest() == VECTORS[version, name]
    for line in data.splitlines():
        row = json.loads(line)
        features = policy.spec.featuriser(row["prompt"])
        assert features.buckets.tolist() == row["buckets"]
        assert features.counts.tolist() == row["counts"]
        given = {"vector": row["vector"]} if "vector" in row else {}
        quality, cost = policy.predict([row["prompt"]], [row["suite"]], [row["vector"]] if given else None)
        assert quality[0].tolist() == row["quality"]
        assert cost[0].tolist() == row["cost_usd"]
        now = 0.0 if row.get("on") is None else first_second(row["on"])
        decision = policy.renewed(revision=policy.revision, clock=partial(float, now)).decide(
            row["prompt"], suite=row["suite"], point=row["point"], key=row["key"], **given
        )
        assert decision.propensity == row.get("propensity", decision.propensity)
        assert decision.candidate.named() == {k: row[k] for k in ("model", "effort", "harness") if k in row}
        assert decision.code == row["code"]
        assert [list(candidate) for candidate in decision.fallbacks] == row["fallbacks"]
        if "judged" in row:
            asked = [row[name] for name in ("answers", "signals", "checks", "stopped")]
            assert walk(decision, *asked) == row["judged"]
            assert [list(features_of(text)) for text in row["answers"]] == row["features"]


def test_caps_and_shared_rows_of_chains_are_read_again() -> None:
    first, second, third, *_ = load_policy(GOLDEN / "v4" / "turns").spec.chains
    caps = [(stage.cap_usd, stage.cap_turns) for stage in (first[0], first[1], second[0], third[0])]
    assert caps == [(0.015, 12), (None, None), (None, 1), (None, 1_000_000)]
    judges = [chain[0].judge for chain in load_policy(GOLDEN / "v4" / "shared").spec.chains]
    rows = [None if judge is None or judge.rows is None else judge.rows.tolist() for judge in judges]
    assert rows[:2] == [[0, 0, 0], [0, 0, 1]] and rows[2] is None


def test_what_caps_leave_of_runs_is_read_again_and_told() -> None:
    policy = load_policy(GOLDEN / "v4" / "under-cap")
    first, second, *_ = policy.spec.chains
    assert first[0].under_cap == ((0, 1, 2), (1 / 2, 1 / 3, 1 / 4), (1 / 2, 1 / 3, 1 / 4))
    assert second[0].under_cap == ((1,), (0.3,), (0.9,))
    made = [
        json.loads(line) for line in (GOLDEN / "v4" / "under-cap" / "golden.jsonl").read_text().splitlines()
    ]
    _, cost = policy.predict([row["prompt"] for row in made], [row["suite"] for row in made])
    parts = [row["cost_usd"] / cost[n].tolist()[policy.candidates.index(Candidate(row["model"], row["effort"]))]
             for n, row in enumerate(made)]  # fmt: skip
    assert {round(part, 6) for part in parts} >= {1.0, 0.5}


def test_what_surrounds_a_model_and_who_has_a_role_are_read_again() -> None:
    first, _, every, _, own = load_policy(GOLDEN / "v5" / "harnesses").spec.profiles
    assert first.harness == Harness("last", {"last": 2})
    assert every.harness == Harness(
        "all", {"mask": 3}, "user", 2000, ("read", "edit"), 20, 0, {"agent": "react", "checks": [1, None]}
    )
    assert own.candidate.harness == "own" and own.harness is None
    team = load_policy(GOLDEN / "v5" / "team").spec.profiles[-1]
    assert {role: (who.profile.candidate, *who.limits, who.share) for role, who in team.roles.items()} == {
        "executor": (Candidate("m0"), 256, 12, 0.01, 0.25),
        "planner": (Candidate("m1", "low"), 1024, 1, None, 0.75),
        "rôle 🙂": (Candidate("org/m2:free@x"), None, None, None, None),
    }
    assert team.roles["planner"].profile.request["system"] == "Be brief."


@pytest.mark.parametrize(("version", "name"), REVISIONS)
def test_a_published_artifact_is_written_to_the_same_bytes(version: str, name: str, tmp_path: Path) -> None:
    path = save_policy(load_policy(GOLDEN / version / name), tmp_path / "again")
    assert load_policy(path).revision == REVISIONS[version, name]


@pytest.mark.parametrize(("version", "name"), REVISIONS)
def test_a_loader_in_another_language_decides_the_same(version: str, name: str) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node.js is not installed")
    folder = GOLDEN / version
    command = [node, GOLDEN / "loader.mjs", folder / name, folder / f"{name}.vectors.jsonl"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{CHECKED.get(name, 1101)} passed, 0 failed\n"
