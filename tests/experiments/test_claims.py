"""The paper's claims one by one: the small networks, the plan, the verdicts, and tiny real runs."""

import json
import math
import os
import signal
import sys

import pytest

from common import networks
from common.paths import ROOT
from common.tables import read_csv
from experiments import claims_tables, plan, runs, verdicts
from experiments.plan import ARMS, CLAIMS, Run
from experiments.runner import Runner
from experiments.verdicts import CONTRARY, NOT_HERE, REPRODUCED, TOO_FEW, Effect
from portproof.system import errors
from portproof.system.frameworks import FRAMEWORKS
from tests.support import preloaded
from tests.support.helpers import assert_success, assert_user_error, call_main, start, wait_until
from tools import compare_forward

# What differs from the base: layers by name, in both frameworks.
DIFFERENT = {"small-no-norm": (2, 6), "small-plain-pooling": (3, 7, 14)}
DIFFERENT |= {"small-half-width": (0, 4, 8, 10, 12), "four-layers-tanh": (2, 5, 8)}
SIZES = {"small": plan.PARAMETERS, "small-half-width": plan.HALF_PARAMETERS, "four-layers": 81_898}
LOOK = """
import json, {framework}, numpy as np
from models import MODELS
seen = {{}}
for name in {names!r}:
    network = MODELS[name](num_classes=10)
    layers = getattr(network, "named_modules", None) or network.named_sublayers
    weights = {{key: np.array(value.tolist()) for key, value in network.state_dict().items()}}
    seen[name] = {{
        "layers": {{key: str(layer) for key, layer in layers() if "." in key}},
        "parameters": sum(array.size for array in weights.values()),
        "deviations": {{key: float(array.std()) for key, array in weights.items()}},
        "features": list(network.features({framework}.zeros([2, 3, 28, 28])).shape),
    }}
print(json.dumps(seen))
"""
MISTAKES = [
    (["--claims", "cake"], "invalid choice: 'cake'"),
    (["--data-path", "/nowhere"], "--data-path: /nowhere: there is no such folder"),
    (["--data-path", ".", "--dataset", "cifar10"], "--dataset: not allowed with argument"),
    (["--report-only", "--work", "/nowhere"], "no finished training"),
]
VERDICTS = [([1.0, 1.2, 0.8], REPRODUCED), ([-1.0, -1.2, -0.8], CONTRARY)]
VERDICTS += [([1.0, -0.5, 0.4], NOT_HERE), ([0.0, 0.0, 0.0], NOT_HERE), ([5.0], TOO_FEW)]
RUNS = [Run("base", "torch", seed, {}, epochs=2) for seed in range(4)]
TINY = ["--dataset", "sample", "--train", 40, "--val", 20, "--seeds", 0, "--jobs", 1]


@pytest.fixture(scope="module", params=FRAMEWORKS)
def small_networks(request, run_in_tree):
    program = LOOK.format(names=list(networks.SMALL), framework=request.param)
    return json.loads(run_in_tree(request.param, program).stdout.splitlines()[-1])


@pytest.mark.parametrize("name", DIFFERENT)
def test_a_variant_differs_from_its_base_in_one_thing(small_networks, name):
    base = small_networks["four-layers" if name.startswith("four") else "small"]
    variant = small_networks[name]
    assert variant["layers"].keys() == base["layers"].keys()
    layers = {key for key, layer in variant["layers"].items() if layer != base["layers"][key]}
    assert layers == {f"features.{number}" for number in DIFFERENT[name]}
    assert variant["features"] == base["features"]
    size = SIZES["four-layers" if name.startswith("four") else "small"]
    assert (base["parameters"], variant["parameters"]) == (size, SIZES.get(name, size))


def test_weights_of_the_small_network_keep_the_variance(small_networks):
    fan_in = {"features.4": 12 * 25, "features.8": 64 * 9, "classifier.0": 64, "classifier.3": 512}
    deviations = small_networks["small"]["deviations"]
    for name, inputs in fan_in.items():
        expected = pytest.approx(math.sqrt(2 / inputs), rel=0.03)
        assert (deviations[f"{name}.weight"], deviations[f"{name}.bias"]) == (expected, 0), name


@pytest.mark.parametrize("name", networks.SMALL)
def test_the_frameworks_agree_on_each_variant(name, kept_probes, capsys):
    options = ["--image-size", "28", "--second-image-size", "0", "--num-classes", "10"]
    assert compare_forward.main(["--model", name, *options]) == 0, capsys.readouterr().out


@pytest.mark.parametrize("claim", CLAIMS)
def test_the_arms_of_a_claim_differ_in_one_thing(claim):
    first, second = (ARMS[name] for name in (CLAIMS[claim].with_, CLAIMS[claim].without))
    options = {*first.options, *second.options}
    different = {key for key in options if first.options.get(key) != second.options.get(key)}
    allowed = {"--lr"} if claim == "relu" else set()  # the paper chose either rate by itself
    assert len(different - allowed) == (claim != "crops")
    assert first.epochs == second.epochs
    assert len(set(CLAIMS[claim].measure)) == 1 + (claim == "crops")


def test_what_claims_share_is_trained_once():
    every = plan.runs_of(CLAIMS, FRAMEWORKS, (0, 1, 2), None)
    assert len(every) == len(ARMS) * 2 * 3 == len({run.name for run in every})
    assert [run.seed for run in every] == sorted(run.seed for run in every)
    (only,) = plan.runs_of(["crops"], ["paddle"], [7], 3)
    assert (only.name, only.epochs) == ("base-paddle-7", 3)


def test_the_rates_are_those_that_were_searched():
    assert len(plan.search_runs("torch", None)) == 2 * len(plan.RATES)
    assert {ARMS[name].options["--lr"] for name in ("relu", "tanh")} <= set(plan.RATES)


@pytest.mark.parametrize(("values", "expected"), VERDICTS)
def test_the_verdict_of_differences(values, expected):
    effect = verdicts.difference([(30.0, 30.0 + value) for value in values])
    assert effect.value == pytest.approx(sum(values) / len(values))
    assert verdicts.verdict(effect) == expected


def test_the_interval_is_that_of_student():
    """By hand: mean 2, deviation 1, three values, t of 4.302653."""
    mean, low, high = verdicts.interval([1.0, 2.0, 3.0])
    half = 4.302653 / math.sqrt(3)
    assert (mean, low, high) == pytest.approx((2, 2 - half, 2 + half), abs=1e-5)


def test_a_ratio_that_is_known_as_a_bound_only():
    known = verdicts.ratio([(2.0, 12.0), (3.0, 18.0)], most=30)
    assert (known.value, known.bound) == (pytest.approx(6.0), "")
    assert verdicts.verdict(known) == REPRODUCED
    more = verdicts.ratio([(5.0, None), (6.0, None), (5.0, 25.0)], most=30)
    assert (more.value, more.bound) == (pytest.approx((6 * 5 * 5) ** (1 / 3)), "more")
    assert verdicts.verdict(more) == REPRODUCED
    late = verdicts.ratio([(29.0, None), (29.5, None), (5.0, 2.0)], most=30)
    assert verdicts.verdict(late) == NOT_HERE
    less = verdicts.ratio([(None, 5.0), (None, 6.0), (None, 5.0)], most=30)
    assert less.bound == "less" and verdicts.verdict(less) == CONTRARY
    assert verdicts.ratio([(None, None)], most=30) is None
    # A bound that points the other way shows nothing.
    assert verdicts.verdict(Effect(0.5, 0.4, 0.6, 3, 1.0, "more")) == NOT_HERE
    assert verdicts.verdict(Effect(2.0, 1.9, 2.1, 3, 1.0, "less")) == NOT_HERE
    assert verdicts.verdict(None) == NOT_HERE


def test_who_does_not_reach_the_goal_was_seen_until_the_middle_of_the_last_epoch(tmp_path):
    known = {"framework": "torch", "epochs": 30}
    arms = [{"arm": "relu", "epochs_to_goal": 5.0}, {"arm": "tanh", "epochs_to_goal": None}]
    outcomes = [known | arm | {"seed": seed} for seed in (0, 1) for arm in arms]
    effect = claims_tables.effects_of("relu", outcomes)["torch"]
    assert (effect.value, effect.bound) == (pytest.approx(29.5 / 5), "more")
    assert runs.epochs_to(25, [30.0] * 29 + [25.0]) == 29.5
    for outcome in outcomes:
        outcome |= {"machine": {"processor": ""}, "versions": {}, "rows": [{"train_top1": 70.0}]}
    claims_tables.write_runs(tmp_path / "runs.csv", outcomes)
    rows = read_csv(tmp_path / "runs.csv")
    assert [row["epochs_to_goal"] for row in rows][:2] == ["5.0", "more than 29.5"]


def test_the_epochs_to_a_goal_lie_on_the_line_between_two_epochs():
    assert runs.epochs_to(25, [60, 40, 20, 10]) == pytest.approx(2.25)  # 1.5 and 3/4 of an epoch
    assert runs.epochs_to(25, [25, 40]) == 0.5
    assert runs.epochs_to(25, [60, 26]) is None


def test_pairs_are_of_one_seed_and_framework():
    columns = ("arm", "framework", "seed", "val_error")
    rows = [("base", "torch", 0, 30.0), ("base", "torch", 1, 31.0), ("base", "paddle", 0, 29.0)]
    rows += [("no-norm", "torch", 1, 33.0), ("no-norm", "paddle", 0, 29.5)]
    outcomes = [dict(zip(columns, row, strict=True), epochs=2) for row in rows]
    effects = claims_tables.effects_of("norm", outcomes)
    measured = {name: (effect.value, effect.pairs) for name, effect in effects.items()}
    assert measured == {"torch": (2.0, 1), "paddle": (0.5, 1), "both": (1.25, 2)}


def test_a_budget_leaves_out_what_would_not_end_in_time():
    performed, noted = [], []
    calls = (lambda run: performed.append(run.name), lambda run, _: noted.append(run.name))
    left = Runner().perform_all(RUNS, *calls, fits=lambda run: run.seed != 2)
    assert [run.name for run in left] == ["base-torch-2"]
    assert performed == noted == ["base-torch-0", "base-torch-1", "base-torch-3"]


def test_a_failing_training_ends_the_others(tmp_path):
    """One that runs is told to end, and saves; no other is begun."""
    runner = Runner()
    program = "trap 'touch saved; exit' TERM; touch begun; while :; do sleep 0.05; done"

    def perform(run):
        if run.seed > 0:
            return runner.run(["sh", "-c", f"touch {run.name}; {program}"], cwd=tmp_path)
        wait_for("begun", tmp_path)
        raise errors.RunError(run.name)

    with pytest.raises(errors.RunError, match="base-torch-0"):
        runner.perform_all(RUNS, perform, lambda run, outcome: None, jobs=2)
    assert {path.name for path in tmp_path.iterdir()} == {"base-torch-1", "begun", "saved"}


def claims(*words):
    return call_main("experiments.claims", *words)


@pytest.fixture
def quick_trainings(monkeypatch):
    """A function after which trainings start in a Python that has a framework imported."""

    def call(framework):
        monkeypatch.setattr(sys, "executable", str(preloaded.interpreter(framework)))
        monkeypatch.setattr(runs, "ONE_THREAD", {})  # as the tests have it: else it starts anew

    return call


def wait_for(pattern, folder, process=None):
    wait_until(lambda: list(folder.glob(pattern)), process)


def test_a_killed_experiment_goes_on_and_repeats_nothing(framework, tmp_path, quick_trainings):
    work = tmp_path / "work"
    words = [*TINY, "--claims", "relu", "--epochs", 4, "--frameworks", framework, "--work", work]
    first, second = (f"{arm}-{framework}-0" for arm in ("relu", "tanh"))
    command = [sys.executable, "-m", "experiments.claims", *words]
    killed = start(*command, start_new_session=True, cwd=ROOT)
    wait_for(f"runs/{second}/checkpoint-*", work, killed)  # it resumes from that, not from last.*
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    quick_trainings(framework)
    before = (work / "results" / f"{first}.json").stat().st_mtime_ns
    assert_success(claims(*words))
    assert (work / "results" / f"{first}.json").stat().st_mtime_ns == before
    assert (work / "logs" / f"{second}.txt").read_text().count("epoch 1/4:") == 1
    rows = {row["arm"]: row for row in read_csv(work / "report" / "claims.csv")}
    assert set(rows) == {"relu", "tanh"}
    assert all(row["epochs"] == "4" and 0 < float(row["val_error"]) <= 100 for row in rows.values())
    assert "four-layers-tanh" in rows["tanh"]["command"] and str(tmp_path) not in str(rows)
    for page in ("claims.md", "claims.zh-CN.md"):
        assert "tanh" in (work / "report" / page).read_text()
    for image in ("claims.png", "claims-curves.png"):
        assert (work / "report" / image).stat().st_size > 10_000
    again = claims(*words)
    assert again.returncode == 0 and "2 trainings, 0 to run" in again.stdout
    assert_user_error(claims(*words, "--epochs", 5), "of another training")


def test_ten_crops_and_the_training_error_are_measured_of_the_same_weights(
    tmp_path, quick_trainings
):
    quick_trainings("torch")
    work = tmp_path / "work"
    words = ["--claims", "crops", "--epochs", 2, "--frameworks", "torch", "--work", work]
    assert_success(claims(*TINY, *words))
    outcome = json.loads((work / "results" / "base-torch-0.json").read_text())
    log = (work / "logs" / "base-torch-0.txt").read_text()
    assert log.count("val_top1") == 2 + 1 + 2  # two epochs, the result, and two measurements
    assert outcome["overfitting"] == outcome["val_error"] - outcome["train_error"]
    assert (outcome["train_error"] * 40 / 100).is_integer()  # of 40 images
    assert (outcome["ten_crop_error"] * 20 / 100).is_integer()  # of 20


def test_two_experiments_do_not_share_a_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "PATIENCE", 0.2)
    with runs.Workplace(tmp_path / "work").held():
        done = claims(*TINY, "--work", tmp_path / "work")
    assert_user_error(done, "another experiment is at work there")


@pytest.mark.parametrize(("words", "message"), MISTAKES)
def test_a_mistake_is_one_line(words, message):
    assert_user_error(claims(*words), message)
