"""What an earlier sweep lets a race expect: how much it counts, and that no test hears of it; who stands for whom;
what is left out; and what replays on it guess."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from router_lab.cli.races import race_options
from router_lab.config.sweep import RaceSpec
from router_lab.outcomes import OutcomeMatrix, validate_outcomes, write_outcomes
from router_lab.prices.table import digest
from router_lab.providers.keys import sha256_of
from router_lab.racing.earlier import ALL, FAMILY, SAME, WAS, Earlier, StandIn
from router_lab.racing.log import RaceLog
from router_lab.racing.nomination import Nomination
from router_lab.racing.prior import Prior
from router_lab.racing.prior_outlook import prior_outlook, render_prior
from router_lab.racing.race import Race, RaceRule
from router_lab.racing.rehearsal import REPLAYS, rehearse, replay_race
from router_lab.racing.sequential import Tally
from router_lab.racing.suite import Entrant, SuiteRace, suite_race
from router_lab.runtime.errors import InputError
from router_lab.runtime.model import Candidate


def tally(means: np.ndarray) -> Tally:
    found = Tally(means.shape[1])
    found.add(means)
    return found


def test_pseudo_clusters_are_added_in_the_numbers_that_weigh_them_and_pairs_in_the_smaller() -> None:
    now = tally(np.array([[1.0, 0.0]] * 3))
    was = tally(np.array([[1.0, 1.0], [0.0, 1.0], [0.0, 0.0], [1.0, 1.0]]))
    both = now.plus(was, np.array([2.0, 1.0]))
    assert both.rows == 3
    assert both.total.tolist() == [3 + 2 * 0.5, 0 + 0.75] and both.count.tolist() == [5, 4]
    # Of column 1 over column 0: -3 so far; (0 + 1 + 0 + 0) / 4 for one cluster, of which one in four differs.
    assert both.gaps[0, 1] == -3 + 0.25 and both.gap_squares[0, 1] == 3 + 0.25 and both.both[0, 1] == 4


def half_and_half() -> np.ndarray:
    return np.array([[1.0, 0.0], [1.0, 1.0]] * 5)


def test_what_it_counts_is_what_its_error_is_worth_and_no_more_than_may_be() -> None:
    # The pair's variance is .25 + 2/10; each differs from the mean of the two by half of that difference: .45 / 4.
    prior = Prior(tally(half_and_half()), np.zeros(2))
    assert prior.weights(Tally(2), 8.0) == pytest.approx([8.0, 8.0])
    assert prior.weights(Tally(2), 20.0) == pytest.approx([10.0, 10.0])
    doubtful = Prior(prior.earlier, np.array([0.0, 0.01]))
    assert doubtful.weights(Tally(2), 20.0) == pytest.approx([10.0, 0.1125 / (0.01125 + 0.01)])
    # Now column 0 is behind by .5, where it led by .5: half of it from the mean of both, beyond chance in two samples.
    turned = tally(half_and_half()[:, ::-1])
    assert prior.weights(turned, 20.0) == pytest.approx([0.1125 / (0.01125 + 0.25 - 2 * 0.01125)] * 2)


def test_who_was_never_seen_counts_nothing() -> None:
    means = half_and_half()
    means[:, 1] = np.nan
    assert Prior(tally(means), np.zeros(2)).weights(Tally(2), 8.0).tolist()[1] == 0.0


rows_of_three = st.lists(st.tuples(*[st.sampled_from([0.0, 0.5, 1.0])] * 3), min_size=5, max_size=40)


@given(
    rows_of_three,
    st.integers(0, 2),
    st.floats(0, 1),
    st.floats(0, 1),
    st.lists(st.floats(0, 0.2), min_size=3, max_size=3),
)
def test_the_more_the_first_waves_disagree_the_less_it_counts(
    rows: list[tuple[float, ...]], column: int, one: float, other: float, drift: list[float]
) -> None:
    means = np.array(rows)
    prior, weights = Prior(tally(means), np.array(drift)), []
    for shift in sorted((one, other)):
        now = means.copy()
        now[:, column] += shift
        weights.append(prior.weights(tally(now), 10.0))
    assert (weights[1] <= weights[0] + 1e-9).all() and (weights[0] <= 10).all() and (weights[1] >= 0).all()


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_a_prior_changes_no_test_given_what_was_shown(seed: int, named: bool) -> None:
    """Whatever is expected, capital and sums are those of what ran, and every nomination's those of the clusters that
    came after it."""
    rng = np.random.default_rng(seed)
    quality = (rng.random((120, 4)) < rng.random(4)).astype(float)
    cost = np.tile(np.geomspace(1, 20, 4), (120, 1)) * rng.random((120, 4))
    looks, reference = list(range(10, 121, 10)), int(rng.integers(4)) if named else None
    expects = Prior(tally((rng.random((50, 4)) < rng.random(4)).astype(float)), np.zeros(4))
    race, plain = Race(RaceRule(0.1), 4, reference, looks, expects), Race(RaceRule(0.1), 4, reference, looks)
    shown, tests, pasts = [], list[Nomination](), list[Tally]()
    for start in range(0, 120, 10):
        if not race.racing.any():
            break
        plain.racing, plain.waiting = race.racing.copy(), race.waiting.copy()
        wave = np.where(race.running, quality[start : start + 10], np.nan)
        for args in (race, plain):
            args.look(quality[start : start + 10], cost[start : start + 10], np.arange(10))
        shown.append(wave)
        new = race._nominations[len(tests) :]
        tests += new
        pasts += [tally(np.concatenate(shown)) for _ in new]
        assert (race._against.capital == plain._against.capital).all()
        assert (race._against.total == plain._against.total).all()
        assert (race._quality.gaps == plain._quality.gaps).all() and (race._cheaper == plain._cheaper).all()
    for test, past in zip(tests, pasts, strict=True):
        again = Nomination(test.columns[:1], test.opponent, test._errors, 0.1, 0.9, tuple(looks), past)
        for wave in shown[past.rows // 10 :]:
            again.add(wave)
        assert (again.matches[0]._within.total == test.matches[0]._within.total).all()
        assert (again.matches[0]._within.capital == test.matches[0]._within.capital).all()
        assert (again.cannot_pass == test.cannot_pass).all()


def test_with_a_prior_that_agrees_half_a_screening_is_enough_to_put_somebody_forward() -> None:
    rng = np.random.default_rng(1)
    quality = (rng.random((200, 3)) < [0.9, 0.9, 0.3]).astype(float)
    cost = np.tile([1.0, 9.0, 5.0], (200, 1))
    looks = list(range(10, 201, 10))
    prior = Prior(tally((rng.random((300, 3)) < [0.9, 0.9, 0.3]).astype(float)), np.zeros(3))
    with_, without = Race(RaceRule(0.2), 3, None, looks, prior), Race(RaceRule(0.2), 3, None, looks)
    for race in (with_, without):
        race.look(quality[:10], cost[:10], np.arange(10))
    assert with_.nominated == [0] and without.nominated == []
    without.look(quality[10:20], cost[10:20], np.arange(10))
    assert without.nominated == [0]
    wrong = Prior(tally((rng.random((300, 3)) < [0.1, 0.9, 0.9]).astype(float)), np.zeros(3))
    misled = Race(RaceRule(0.2), 3, None, looks, wrong)
    misled.look(quality[:10], cost[:10], np.arange(10))
    assert misled.nominated == []  # the first wave disagrees


A, B, OLD = ("a", None), ("b", None), ("old", "high")


def earlier(
    whos: list[tuple[str, str | None]], was: dict[str, str] | None = None, suites: tuple[str, ...] = ("s",),
    rows: int = 40, **columns: object,
) -> Earlier:  # fmt: skip
    """The first is always right, the second in one of two, the others in one of three."""
    table = [
        {
            "suite": suite, "sample_id": f"{suite}{i}", "model": model, "effort": effort, "prompt": f"{suite} asks {i}",
            "quality": float(i % (min(k, 2) + 1) == 0), "cost_usd": 0.01 * (k + 1), **columns,
        }
        for suite in suites for i in range(rows) for k, (model, effort) in enumerate(whos)
    ]  # fmt: skip
    return Earlier("old.parquet", "f" * 64, validate_outcomes(pd.DataFrame(table)), was or {})


def test_who_stands_for_whom() -> None:
    then = earlier([A, ("a", "low"), OLD, ("other", None)], {"new": "old"})
    known = then.matrix.candidates
    assert then.stand_in(Candidate("a", "low")) == StandIn((known.index(Candidate("a", "low")),), SAME)
    assert then.stand_in(Candidate("new", "high")) == StandIn((known.index(Candidate("old", "high")),), WAS)
    assert then.stand_in(Candidate("a", "max")) == StandIn((0, 1), FAMILY)
    assert then.stand_in(Candidate("new", "low")).how == FAMILY  # its forerunner's, at another effort
    everybody = then.stand_in(Candidate("strange", None))
    assert everybody == StandIn((0, 1, 2, 3), ALL) and everybody.one is None


def test_a_family_and_the_mean_of_all_count_less_by_how_far_their_members_lie_apart() -> None:
    then = earlier([A, ("a", "low"), ("other", None)])
    whos = [Candidate("a"), Candidate("a", "max"), Candidate("strange")]
    prior = then.expected("s", whos, [], []).prior
    assert prior is not None
    # 40 samples: all right, 20 of them, 14 of them.
    level = np.array([1.0, 0.5, 14 / 40])
    assert prior.drift == pytest.approx([0.0, np.var(level[:2], ddof=1), np.var(level, ddof=1)])
    assert prior.earlier.mean(0.0) == pytest.approx([1.0, 0.75, level.mean()])


def test_what_the_race_asks_itself_is_left_out_by_id_by_group_and_by_prompt() -> None:
    then = earlier([A, B])
    whos = [Candidate("a"), Candidate("b")]
    fresh = then.expected("s", whos, ["s0", "s1", "elsewhere"], [sha256_of("s asks 2"), "g"])
    assert (fresh.own, fresh.clusters, fresh.left_out) == (True, 37, 3)
    grouped = earlier([A, B], group="g")
    assert grouped.expected("s", whos, [], ["g"]).prior is None


def test_where_a_suite_has_nothing_of_its_own_the_others_tell_and_count_less() -> None:
    then = earlier([A, B], suites=("s", "t", "u"))
    whos, own = [Candidate("a"), Candidate("b")], [f"s{i}" for i in range(40)]
    found = then.expected("s", whos, own, [])
    assert found.prior is not None and (found.own, found.clusters, found.left_out) == (False, 80, 40)
    assert found.prior.drift == pytest.approx([0.0, 0.0])  # both of the others say the same
    alone = earlier([A, B], suites=("s", "t")).expected("s", whos, own, []).prior
    assert alone is not None and alone.drift == pytest.approx(
        [0.25, 0.25]
    )  # one of them tells nothing of the spread
    assert earlier([A, B]).expected("s", whos, own, []).prior is None


def test_outcomes_that_say_nothing_of_the_sweep_and_forerunners_that_are_none_are_refused() -> None:
    with pytest.raises(
        InputError, match=r"`race.was`: new: 'gone' is no model of old.parquet; name one of a, b"
    ):
        earlier([A, B], {"new": "gone"})
    with pytest.raises(
        InputError, match=r"`race.was`: 'new' is no model of this sweep, as outcomes name it; name on"
    ):
        earlier([A, B], {"new": "a"}).check([Candidate("b")])
    with pytest.raises(
        InputError, match=r"has no outcome of any model of this sweep \(x\); it has a, b. Say who take"
    ):
        earlier([A, B]).check([Candidate("x")])
    earlier([A, B], {"x": "a"}).check([Candidate("x")])
    with pytest.raises(ValueError, match="name its outcomes, `prior: FILE`"):
        RaceSpec.model_validate({"was": {"x": "a"}})


def test_a_file_that_is_no_outcomes_is_refused_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone.parquet: no such file; `router-lab collect` writes it"):
        Earlier.read(tmp_path / "gone.parquet", {})
    table = pd.DataFrame({"suite": ["s"], "sample_id": ["1"], "model": ["a"], "quality": [7.0]})
    table.to_parquet(tmp_path / "scores.parquet")
    with pytest.raises(InputError, match=r"scores.parquet.*quality"):
        Earlier.read(tmp_path / "scores.parquet", {})
    write_outcomes(table.assign(quality=0.5), tmp_path / "fine.parquet")
    assert len(Earlier.read(tmp_path / "fine.parquet", {}).sha256) == 64


def test_qualities_that_are_missing_are_no_outcomes() -> None:
    frame = earlier([A, B]).frame
    frame.loc[frame["model"] == "b", "quality"] = np.nan
    frame.loc[frame["model"] == "b", "status"] = "infra"
    then = Earlier("old.parquet", "f" * 64, frame, {})
    assert then.matrix.candidates == (Candidate("a"),)


def racing(
    then: Earlier | None, rule: RaceRule, names: tuple[str, ...] = ("a", "b"), samples: int = 200
) -> SuiteRace:
    entrants = [Entrant(Candidate(name)) for name in names]
    ids = [f"now{i}" for i in range(samples)]
    return suite_race("s", entrants, ids, ids, rule, None, first=10, seed=0, earlier=then)


def test_races_replayed_on_the_earlier_outcomes_guess_what_it_will_cost_and_who_is_put_forward() -> None:
    then, rule = earlier([A, B], rows=80), RaceRule(0.2)
    one = racing(then, rule, ("a", "b", "new"))
    known = OutcomeMatrix.from_frame(then.as_if(one.candidates))
    guess = rehearse(one, known, rule, np.random.default_rng(0))
    assert guess is not None and guess.unknown == (Candidate("new"),)
    # A cent and two of each of 200 samples; the cheaper is always right, so that it is the one to settle on.
    assert guess.grid == pytest.approx(200 * 0.03) and guess.settled == REPLAYS
    assert set(guess.forward) <= {Candidate("a")}
    assert max(guess.with_prior) <= 200 * 0.03 and np.mean(guess.with_prior) <= np.mean(guess.without)
    assert rehearse(racing(then, rule, ("a", "new")), known, rule, np.random.default_rng(0)) is None
    told = render_prior(prior_outlook(then, [one], [guess]))
    assert told[1:3] == [
        "    s: 2 of 3 candidates start from their own outcomes; new from the mean of all",
        "      rests on 80 clusters of it",
    ]
    assert told[3].startswith("      first put forward, in 20 replays: ") and told[3].endswith(
        "settled in 20"
    )
    assert "the whole grid $6.0000; without new, of whom nothing near is known" in told[4]


def test_earlier_rows_stand_under_the_names_of_those_they_stand_for() -> None:
    then = earlier([A, OLD], {"new": "old"})
    found = then.as_if([Candidate("new", "high"), Candidate("strange")])
    assert set(zip(found["model"], found["effort"], strict=True)) == {("new", "high")} and len(found) == 40
    assert then.as_if([Candidate("strange")]).empty


def test_a_replay_with_a_prior_runs_no_other_rows_before_anything_was_seen() -> None:
    rng = np.random.default_rng(0)
    quality, cost = (rng.random((60, 3)) < 0.8).astype(float), np.ones((60, 3))
    prior = Prior(tally(quality), np.zeros(3))
    runs = [
        replay_race(quality, cost, np.arange(60), RaceRule(), np.random.default_rng(0), prior=one)
        for one in (None, prior)
    ]
    assert all(run.ran[:10].all() for run in runs)


def test_a_race_goes_on_with_the_prior_it_began_with_alone(tmp_path: Path) -> None:
    rule, then = RaceRule(), earlier([A, B])
    log = RaceLog(tmp_path, rule, None, [racing(then, rule)], then)
    log.begin()
    assert RaceLog(tmp_path, rule, None, [racing(then, rule)], then).replay() == 0
    with pytest.raises(
        InputError, match=r"`race.prior` was a file of sha256 ffffffffffffffff, is not given; use a new"
    ):
        RaceLog(tmp_path, rule, None, [racing(None, rule)]).replay()
    other = Earlier("moved.parquet", "0" * 64, then.frame, {"a": "b"})
    with pytest.raises(
        InputError, match=r"ffffffff, is a file of sha256 0000000000000000 with was \{a: b\}; use a n"
    ):
        RaceLog(tmp_path, rule, None, [racing(other, rule)], other).replay()
    moved = Earlier("moved.parquet", "f" * 64, then.frame, {})
    assert (
        RaceLog(tmp_path, rule, None, [racing(moved, rule)], moved).replay() == 0
    )  # the same, in another place


def test_a_sweep_file_names_its_prior_as_it_sees_it_or_at_an_address(tmp_path: Path) -> None:
    (tmp_path / "then").mkdir()
    file = write_outcomes(earlier([A, B]).frame, tmp_path / "then/old.parquet")
    for name in ("then/old.parquet", f"file://{file}"):
        sweep = {"name": "t", "models": ["a"], "suites": ["s"], "race": {"prior": name, "was": {"new": "a"}}}
        (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(sweep))
        found = race_options(tmp_path / "sweep.yaml", None).earlier
        assert found is not None and (found.file, found.sha256) == (str(file), digest(file))
    other = write_outcomes(earlier([A, B], rows=12).frame, tmp_path / "other.parquet")
    given = race_options(tmp_path / "sweep.yaml", other).earlier
    assert given is not None and given.sha256 == digest(other) and given.was == {"new": "a"}


def test_a_candidate_alone_has_nobody_to_differ_from() -> None:
    """A suite of one candidate: no pseudo-clusters, whether the race has seen anything of it or not, and no warning."""
    earlier, seen = Tally(1), Tally(1)
    earlier.add(np.ones((20, 1)))
    seen.add(np.ones((5, 1)))
    for now in (seen, Tally(1)):
        assert Prior(earlier, np.zeros(1)).weights(now, 10.0).tolist() == [0.0]
