"""The three layers: explicit constraint, capability and score, resources."""

from __future__ import annotations

import itertools

import pytest

from autopilot.models import Health, OutcomeKind, Reason, Term
from autopilot.routing import Parameters
from tests.unit.routing.world import NOW, World, make_contender, make_task, uniform

CLAUDE = make_contender("claude-code", ("code", "review"), tier="high")
KIMI = make_contender("kimi", ("code",), tier="volume")
LOCAL = make_contender("local", ("shell",))


def by_name(decision):
    return {candidate.executor: candidate for candidate in decision.candidates}


def break_executor(world: World, name: str, times: int = 3, now: float = NOW):
    for _ in range(times):
        world.health.observe(name, name, OutcomeKind.UNAVAILABLE, now, message="503")


# ------------------------------------------------------------------ the choice


def test_the_choice_is_explained_with_every_number(world):
    decision = world.decide(make_task(task_type="docs"), [CLAUDE, KIMI, LOCAL])
    assert (decision.task_id, decision.executor, decision.reason_code) == ("t1", "kimi", "chosen")
    assert decision.reason.startswith("kimi: best of 2, score 0.8")
    assert decision.parameters == Parameters.from_settings(world.settings).hash
    kimi, claude, local = decision.candidates
    assert (kimi.executor, claude.executor, local.executor) == ("kimi", "claude-code", "local")
    assert kimi.eligible
    assert kimi.score == pytest.approx(sum(term.value for term in kimi.terms))
    assert decision.confidence == kimi.confidence == kimi.terms[0].value
    assert (local.eligible, local.score, local.confidence, local.terms) == (False, None, None, ())
    assert "shell" in local.why


def test_with_an_empty_history_hard_work_goes_to_the_high_tier_and_volume_work_to_the_volume_tier(world):
    silent = make_contender("another")
    for kind in ("architecture", "refactor", "security", "debugging", "migration"):
        assert world.decide(make_task(task_type=kind), [CLAUDE, KIMI, silent]).executor == "claude-code"
    for kind in ("docs", "formatting", "tests", "chores"):
        assert world.decide(make_task(task_type=kind), [CLAUDE, KIMI, silent]).executor == "kimi"


def choices_by_evidence(salt: int) -> list[str]:
    """80 architecture tasks for the strong claude-code, which solves 45 % of them, and kimi, which solves 85 %."""
    world, chosen = World(), []
    for index in range(80):
        name = world.decide(make_task(task_type="architecture"), [CLAUDE, KIMI]).executor
        chosen.append(name)
        rate = {"claude-code": 0.45, "kimi": 0.85}[name]
        world.quality.observe(name, "architecture", uniform(salt, index, name) < rate)
    return chosen


def test_evidence_overrules_a_declared_strength_within_tens_of_tasks():
    runs = [choices_by_evidence(salt) for salt in range(20)]
    assert {run[0] for run in runs} == {"claude-code"}
    assert sum(run[30:].count("kimi") for run in runs) / (20 * 50) > 0.95


def test_a_row_of_failures_overrules_it_at_once(world):
    for _ in range(6):
        world.quality.observe("claude-code", "architecture", False)
    assert world.decide(make_task(task_type="architecture"), [CLAUDE, KIMI]).executor == "kimi"


def test_a_declared_weakness_keeps_an_executor_behind_one_without_a_word(world):
    weak = make_contender("a-weak", weak=frozenset({"docs"}))
    assert world.decide(make_task(task_type="docs"), [weak, make_contender("b")]).executor == "b"


def test_executors_that_failed_this_task_come_last(world):
    first = world.decide(make_task(task_type="docs"), [CLAUDE, KIMI], failed_on=["kimi"])
    assert first.executor == "claude-code"
    assert "failed this task before" in by_name(first)["kimi"].why
    assert world.decide(make_task(task_type="docs"), [KIMI], failed_on=["kimi"]).executor == "kimi"


def test_one_that_failed_the_task_is_better_than_waiting_for_one_that_rests(world):
    break_executor(world, "claude-code")
    assert world.decide(make_task(), [CLAUDE, KIMI], failed_on=["kimi"]).executor == "kimi"


# ------------------------------------------------------------------ ties


def test_ties_go_to_the_fewest_in_flight():
    contenders = [make_contender("a", running=2), make_contender("b", running=1), make_contender("c", running=2)]
    assert World(order=("a", "b", "c")).decide(make_task(), contenders).executor == "b"


def test_then_to_the_lower_cost():
    contenders = [make_contender("a", cost_usd=0.5), make_contender("b", cost_usd=0.1)]
    assert World(order=("a", "b")).decide(make_task(), contenders).executor == "b"


def test_then_to_the_configured_order_and_at_last_to_the_name():
    contenders = [make_contender(name) for name in "abc"]
    assert World(order=("c", "b")).decide(make_task(), contenders).executor == "c"
    assert World().decide(make_task(), contenders).executor == "a"


def test_the_order_in_which_executors_are_given_does_not_matter(world):
    contenders = [CLAUDE, KIMI, LOCAL, make_contender("b"), make_contender("a")]
    for index in range(30):
        world.quality.observe("ab"[index % 2], "general", index % 3 == 0, 0.1 * index, 1.0)
    answers = [world.decide(make_task(), list(order)) for order in itertools.permutations(contenders)]
    assert all(answer == answers[0] for answer in answers)


def test_work_in_flight_spreads_the_first_tries():
    world = World()
    contenders = {name: make_contender(name) for name in "abc"}
    chosen = []
    for _ in range(3):
        name = world.decide(make_task(), list(contenders.values())).executor
        chosen.append(name)
        contenders[name] = make_contender(name, running=1, in_flight_types={"general": 1})
    assert sorted(chosen) == ["a", "b", "c"]


# ------------------------------------------------------------------ prices and plugins


def test_prices_from_the_config_change_the_choice():
    def choice(**prices):
        world = World(**prices)
        for index in range(60):
            world.quality.observe("dear", "general", index % 10 != 0, 3.0, 60.0)
            world.quality.observe("cheap", "general", index % 10 > 1, 0.05, 60.0)
        return world.decide(make_task(), [make_contender("dear"), make_contender("cheap")]).executor

    assert choice() == "dear"
    assert choice(solved_task_usd=5.0) == "cheap"
    assert choice(solved_task_usd=500.0) == "dear"


def test_an_hour_that_is_worth_something_favours_the_fast():
    def choice(**prices):
        world = World(**prices)
        for index in range(60):
            world.quality.observe("slow", "general", index % 10 != 0, 0.0, 3600.0)
            world.quality.observe("fast", "general", index % 10 > 1, 0.0, 60.0)
        return world.decide(make_task(), [make_contender("slow"), make_contender("fast")]).executor

    assert choice(solved_task_usd=10.0) == "slow"
    assert choice(solved_task_usd=10.0, hour_usd=20.0) == "fast"


def test_plugins_add_terms_with_their_weight_and_sentence():
    world = World(weights={"night": 0.5})

    def score(task, info, figures):
        assert set(figures) == {"runs", "successes", "mean"}
        return [Term(name="night:moon", value=9.0, detail="cheap at night")] if info.name == "b" else ()

    decision = world.decide(make_task(), [make_contender("a"), make_contender("b")], score=score)
    assert decision.executor == "b"
    assert by_name(decision)["b"].terms[-1] == Term(name="night:moon", value=0.1, detail="cheap at night")
    assert by_name(decision)["b"].score == pytest.approx(by_name(decision)["a"].score + 0.1)


def test_plugins_are_asked_about_capable_executors_only(world):
    asked = []
    world.decide(make_task(), [CLAUDE, LOCAL], score=lambda task, info, figures: asked.append(info.name) or ())
    assert asked == ["claude-code"]


def test_a_gate_is_asked_about_the_best_and_then_the_next_best(world):
    asked = []

    def gate(task, info):
        asked.append(info.name)
        return (
            Reason(code="secret", message="customer data stays here", hint="ask") if info.name == "kimi" else None
        )

    decision = world.decide(make_task(task_type="docs"), [CLAUDE, KIMI, make_contender("x")], gate=gate)
    assert asked == ["kimi", decision.executor]
    refused = by_name(decision)["kimi"]
    assert (refused.eligible, refused.why) == (False, "customer data stays here")
    assert refused.score is not None


def test_when_the_gates_refuse_everyone_the_task_waits_with_their_reason(world):
    gate = lambda task, info: Reason(code="friday", message="not on Fridays", hint="wait for Monday")  # noqa: E731
    decision = world.decide(make_task(), [CLAUDE, KIMI], gate=gate)
    assert (decision.executor, decision.reason_code, decision.permanent) == (None, "refused", False)
    assert "not on Fridays" in decision.reason
    assert decision.hint == "wait for Monday"


# ------------------------------------------------------------------ nobody can


def test_nobody_capable_is_not_permanent_and_names_the_package(world):
    decision = world.decide(make_task(), [LOCAL])
    assert (decision.executor, decision.reason_code, decision.permanent) == (None, "no_capable_executor", False)
    assert "autopilot-core[claude]" in decision.hint
    decision = world.decide(make_task(command="make"), [CLAUDE])
    assert decision.reason == "no installed executor runs commands"
    assert "autopilot-core[local]" in decision.hint
    decision = world.decide(make_task(requires=frozenset({"gpu"})), [])
    assert decision.reason == "no installed executor can do this task (requires gpu)"
    assert decision.candidates == ()


# ------------------------------------------------------------------ resources


def test_an_executor_without_a_free_slot_is_passed_over(world):
    full = make_contender("a", running=2, slots=2)
    assert world.decide(make_task(), [full, make_contender("b")]).executor == "b"
    decision = world.decide(make_task(), [full])
    assert (decision.executor, decision.reason_code, decision.wake_at) == (None, "no_slot", None)
    assert decision.reason == "a: all its slots are taken (2 of 2)"


def test_a_failed_probe_excludes_with_its_reason_and_hint(world):
    ill = make_contender("a", health=Health(ok=False, reason="not logged in", hint="claude login"))
    decision = world.decide(make_task(), [ill])
    assert (decision.executor, decision.reason_code, decision.permanent) == (None, "unhealthy", False)
    assert (decision.reason, decision.hint) == ("a: not logged in", "claude login")
    assert world.decide(make_task(), [ill, make_contender("b")]).executor == "b"
    assert world.decide(make_task(), [make_contender("a", health=Health(ok=True))]).executor == "a"


def test_an_executor_that_rests_is_passed_over(world):
    break_executor(world, "a")
    decision = world.decide(make_task(), [make_contender("a"), make_contender("b")])
    assert decision.executor == "b"
    resting = by_name(decision)["a"]
    assert (resting.eligible, resting.wake_at) == (False, NOW + 60)
    assert "rests until" in resting.why


def test_when_all_rest_the_task_is_parked_until_the_first_is_back(world):
    break_executor(world, "a", now=NOW - 10)
    world.health.observe("b", "b", OutcomeKind.RATE_LIMITED, NOW, NOW + 3600)
    decision = world.decide(make_task(), [make_contender("a"), make_contender("b")])
    assert (decision.executor, decision.reason_code) == (None, "resting")
    assert decision.wake_at == NOW + 50
    assert decision.reason.startswith("none of 2 capable executors can take it now; a: rests until")
    assert "next try 2026-01-01 00:00:50Z" in decision.reason


def test_a_task_is_not_parked_while_a_slot_may_become_free(world):
    world.health.observe("a", "a", OutcomeKind.RATE_LIMITED, NOW, NOW + 3600)
    decision = world.decide(make_task(), [make_contender("a"), make_contender("b", running=1, slots=1)])
    assert (decision.reason_code, decision.wake_at) == ("no_slot", None)


def test_while_a_trial_runs_nobody_knows_when_the_next_chance_comes(world):
    break_executor(world, "a")
    world.health.started("a", NOW + 60, "t1.4")
    world.health.observe("b", "b", OutcomeKind.RATE_LIMITED, NOW, NOW + 3600)
    decision = world.decide(make_task(), [make_contender("a", running=1), make_contender("b")], now=NOW + 61)
    assert (decision.reason_code, decision.wake_at) == ("resting", None)


def test_executors_of_one_pool_rest_together(world):
    world.health.observe("a", "account", OutcomeKind.RATE_LIMITED, NOW, NOW + 3600)
    pair = [make_contender(name, quota_pool="account") for name in "ab"]
    assert world.decide(make_task(), pair).reason_code == "resting"
    assert world.decide(make_task(), [*pair, make_contender("c")]).executor == "c"


def test_half_open_lets_one_attempt_through_and_no_second(world):
    break_executor(world, "a")
    later = NOW + 60
    assert world.decide(make_task(), [make_contender("a")], now=later).executor == "a"
    world.health.started("a", later, "t1.4")
    decision = world.decide(make_task(id="t2"), [make_contender("a", running=1)], now=later)
    assert (decision.executor, decision.reason_code, decision.wake_at) == (None, "resting", None)
    assert "one attempt is trying" in decision.reason


def test_a_trial_whose_lease_is_gone_blocks_nobody(world):
    break_executor(world, "a")
    world.health.started("a", NOW + 60, "t1.4")
    assert world.decide(make_task(), [make_contender("a", running=0)], now=NOW + 61).executor == "a"


def test_an_attempt_older_than_the_outage_does_not_block_the_trial(world):
    break_executor(world, "a")
    assert world.decide(make_task(), [make_contender("a", running=1)], now=NOW + 60).executor == "a"


def test_the_trial_of_a_pool_blocks_its_other_executors(world):
    world.health.observe("a", "account", OutcomeKind.RATE_LIMITED, NOW)
    world.health.started("a", NOW + 60, "t1.1", "account")
    busy = make_contender("a", quota_pool="account", running=1)
    idle = make_contender("b", quota_pool="account")
    assert world.decide(make_task(), [busy, idle], now=NOW + 61).executor is None
    assert world.decide(make_task(), [idle], now=NOW + 61).executor == "b"


# ------------------------------------------------------------------ the explicit constraint


def test_a_named_executor_is_taken_though_another_has_the_better_score(world):
    decision = world.decide(make_task(task_type="docs", executor="claude-code"), [CLAUDE, KIMI])
    assert decision.executor == "claude-code"
    assert "the task names it" in decision.reason
    assert by_name(decision)["kimi"].why == "the task names claude-code"


def test_a_shell_takes_prose_only_when_named(world):
    assert world.decide(make_task(executor="local"), [CLAUDE, LOCAL]).executor == "local"
    assert world.decide(make_task(), [LOCAL]).executor is None


def test_an_unknown_name_is_permanent_and_lists_everyone(world):
    decision = world.decide(make_task(executor="kimmi"), [CLAUDE, KIMI])
    assert (decision.executor, decision.reason_code, decision.permanent) == (None, "unknown_executor", True)
    assert "did you mean kimi?" in decision.hint
    assert [c.eligible for c in decision.candidates] == [False, False]


def test_a_named_executor_that_can_never_do_the_task_is_permanent(world):
    decision = world.decide(make_task(executor="kimi", requires=frozenset({"review"})), [CLAUDE, KIMI])
    assert (decision.executor, decision.reason_code, decision.permanent) == (None, "no_capable_executor", True)
    assert "lacks review" in decision.reason


def test_a_named_executor_that_failed_the_task_is_still_the_one(world):
    assert world.decide(make_task(executor="kimi"), [CLAUDE, KIMI], failed_on=["kimi"]).executor == "kimi"


@pytest.mark.parametrize("how", ["resting", "unhealthy"])
@pytest.mark.parametrize("where", ["task", "config"])
@pytest.mark.parametrize("wish", ["wait", "fail", "fallback"])
def test_a_named_executor_that_is_not_available(how, where, wish):
    world = World(on_unavailable="wait" if where == "task" else wish)
    task = make_task(executor="kimi", on_unavailable=wish if where == "task" else None)
    kimi = (
        KIMI if how == "resting" else make_contender("kimi", health=Health(ok=False, reason="no key", hint="get"))
    )
    if how == "resting":
        break_executor(world, "kimi")
    decision = world.decide(task, [CLAUDE, kimi])
    if wish == "fallback":
        assert (decision.executor, decision.reason_code) == ("claude-code", "chosen")
        assert "on_unavailable is fallback" in decision.reason
        return
    assert (decision.executor, decision.reason_code) == (None, how)
    assert decision.permanent is (wish == "fail")
    assert decision.wake_at == (NOW + 60 if how == "resting" and wish == "wait" else None)


def test_the_tasks_wish_goes_before_the_configs():
    world = World(on_unavailable="fallback")
    break_executor(world, "kimi")
    assert world.decide(make_task(executor="kimi", on_unavailable="wait"), [CLAUDE, KIMI]).executor is None


def test_without_a_free_slot_a_named_executor_is_waited_for_whatever_the_wish(world):
    busy = make_contender("kimi", running=1, slots=1)
    for wish in ("wait", "fail", "fallback"):
        decision = world.decide(make_task(executor="kimi", on_unavailable=wish), [CLAUDE, busy])
        assert (decision.reason_code, decision.permanent) == ("no_slot", False)


def test_fallback_never_hands_prose_to_a_shell(world):
    break_executor(world, "kimi")
    decision = world.decide(make_task(executor="kimi", on_unavailable="fallback"), [KIMI, LOCAL])
    assert (decision.executor, decision.reason_code) == (None, "resting")
    assert by_name(decision)["local"].score is None


def test_gates_are_asked_about_named_executors_too(world):
    gate = lambda task, info: Reason(code="no", message="not here")  # noqa: E731
    decision = world.decide(make_task(executor="kimi"), [CLAUDE, KIMI], gate=gate)
    assert (decision.executor, decision.reason_code) == (None, "refused")
