"""The fair comparison: every arm from one start, its tokens counted, and nothing done twice."""

from dataclasses import replace

import pytest

from course_lib.distill import distill_lab
from course_lib.distill.bench import Bench
from course_lib.distill.real import arms, kept, language_model, run
from course_lib.model import models
from tests.distill.real.test_run import PLAN, weights


def run_plan(seed, adapter=PLAN.adapter, distil=PLAN.distil):
    return replace(PLAN, seed=seed, adapter=adapter, distil=distil)


@pytest.fixture(scope="module")
def rows(tiny, tmp_path_factory):
    out = tmp_path_factory.mktemp("arms")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(language_model, "folder", lambda *_, **__: tiny)
        patch.setattr(language_model, "NAME", str(tiny))
        patch.setattr(run, "Plan", run_plan)
        patch.setattr(kept, "RUNS", ((4, 3), (2, 2)))
        patch.setattr(kept, "PUZZLES", 4)
        bench = Bench(models.shipped("mini-r1-zero"), out, 2)
        found = {row["arm"]: row for row in [*arms.arms(bench), *arms.on_top(bench)]}
        patch.setattr(arms.zero, "run", lambda *_, **__: pytest.fail("done twice"))
        patch.setattr(arms.trace_sft, "gather", lambda *_, **__: pytest.fail("done twice"))
        again = [*arms.arms(bench), *arms.on_top(bench)]
        assert {row["arm"]: row for row in again} == found
        lost = list(kept.experiment(bench))
    return out / "real-2", found, lost


def test_every_arm_has_a_row_with_the_same_figures(rows):
    _, found, _ = rows
    names = (arms.BEFORE, arms.DISTILLED, arms.ANSWERS, arms.ALONE, arms.BOTH)
    assert tuple(found) == names
    assert all(
        {"accuracy", "thinking_tokens", "attempts", "examples"} <= r.keys() for r in found.values()
    )
    asked = [[e["puzzle"] for e in row["examples"]] for row in found.values()]
    assert all(one == asked[0] and len(one) == 4 for one in asked)


def test_answers_read_as_many_tokens_and_learn_fewer(rows):
    _, found, _ = rows
    full, bare = found[arms.DISTILLED], found[arms.ANSWERS]
    assert bare["read"] == pytest.approx(full["read"], rel=0.3)
    assert bare["learnt"] < full["learnt"] / 4 and bare["traces"] == full["traces"]


def test_rl_alone_learns_nothing_and_its_adapter_is_the_first(rows):
    folder, found, _ = rows
    alone = found[arms.ALONE]
    assert alone["unchanged"] and alone["learnt"] == 0 < alone["sampled"]
    assert alone["grad_norm"] == alone["informative"] == alone["reward"] == [0.0, 0.0]
    assert alone["accuracy"] == found[arms.BEFORE]["accuracy"]
    assert weights(folder / "RL-alone/checkpoint") == weights(folder / "start")


def test_what_is_lost_is_measured_on_the_same_run_and_on_others_by_rank_and_updates(rows):
    folder, found, lost = rows
    assert [(row["rank"], row["updates"], row["adapter"]) for row in lost] == [
        (4, 0, "fresh"), (4, 3, "on"), (4, 3, "off"), (2, 2, "on"),
    ]  # fmt: skip
    fresh, on, off, other = lost
    for name in ("perplexity", "requests_right", "requests_puzzled"):
        assert off[name] == fresh[name]
    assert on["perplexity"] != off["perplexity"] != other["perplexity"]
    assert on["accuracy"] == found[arms.DISTILLED]["accuracy"]
    traces = [folder.parent / name / "distil/traces.json" for name in ("real-2", "kept-2-2-2")]
    assert traces[0].read_bytes() == traces[1].read_bytes()


def test_the_laboratory_knows_the_comparison_and_its_settings():
    told = distill_lab.find("real-arms")
    assert told.rows is arms.arms and distill_lab.find("real-rl").rows is arms.on_top
    assert told.settings["DISTIL"]["answer_tokens"] == 160
