"""Each option of precision and of the step does what it says, in both trees."""

import shutil

import numpy as np
import pytest
from scipy.special import log_softmax

from common.training.args import parse
from common.training.run_folder import read_metrics
from portproof.files import pickles
from tests.support.helpers import FRAMEWORKS, SUFFIX, assert_success, assert_user_error, call
from tests.support.training_steps import run_steps
from tests.support.trees import TINY, run_parts, run_train, run_train_changed

LR = 0.01
PLAIN = [*TINY, "--schedule", "step", "--lr", LR, "--momentum", 0, "--weight-decay", 0]
PLAIN += ["--dropout", 0, "--device", "cpu"]
RUNS = {
    "plain": [], "smooth": ["--label-smoothing", 0.3], "deterministic": ["--deterministic"],
    "clipped": ["--clip-grad", 0.01], "clipped never": ["--clip-grad", 1e6],
    "accumulated": ["--batch-size", 4, "--accumulate", 2],  # 18 images: the last step is of 2
    "whole": ["--batch-size", 8], "average": ["--ema", 0.7, "--lr", 0.5],
}  # fmt: skip
TORCH_RUNS = {"bf16": ["--amp", "bf16"], "channels last": ["--channels-last"]}
IMPOSSIBLE = [
    ("torch", ["--amp", "fp16", "--device", "cpu"], ["--amp fp16", "bf16"]),
    ("paddle", ["--amp", "fp16", "--device", "cpu"], ["--amp fp16"]),
    ("paddle", ["--channels-last"], ["--channels-last", "leave it out"]),
    ("paddle", ["--tensorboard"], ["--visualdl"]),
    ("torch", ["--visualdl"], ["--tensorboard"]),
]


@pytest.fixture(scope="module", params=FRAMEWORKS)
def runs(request, small_folder, small_trees, tmp_path_factory):
    """All runs of a tree: (framework, folder, what was noted of each by name)."""
    framework = request.param
    folder = tmp_path_factory.mktemp("options")
    options_of = RUNS | (TORCH_RUNS if framework == "torch" else {})
    data = ["--data-path", small_folder, "--output-dir"]
    commands = [[*PLAIN, *more, *data, folder / name] for name, more in options_of.items()]
    steps = run_steps(small_trees[framework], folder / "noted", *commands)
    return framework, folder, dict(zip(options_of, steps, strict=True))


def test_label_smoothing_mixes_in_the_mean_over_all_classes(runs):
    *_, noted = runs
    for name, smoothing in (("plain", 0.0), ("smooth", 0.3)):
        run = noted[name]
        logs = log_softmax(run["logits"], axis=-1)  # [steps, N, C]
        of_label = np.take_along_axis(logs, run["labels"][..., None], -1)[..., 0]
        expected = -((1 - smoothing) * of_label + smoothing * logs.mean(-1)).mean(-1)
        np.testing.assert_allclose(run["loss"], expected, rtol=1e-5)


def test_gradients_are_clipped_to_their_norm(runs):
    *_, noted = runs
    plain, clipped = noted["plain"]["moved"] / LR, noted["clipped"]["moved"] / LR
    assert (plain > 0.02).all()  # else there is nothing to clip
    np.testing.assert_allclose(clipped, 0.01, rtol=1e-3)
    np.testing.assert_array_equal(noted["clipped never"]["weight"], noted["plain"]["weight"])


def test_batches_that_are_accumulated_are_one_batch(runs):
    _, folder, noted = runs
    accumulated, whole = noted["accumulated"], noted["whole"]
    assert len(accumulated["weight"]) == 5 and len(whole["weight"]) == 3
    moved = accumulated["moved"] > 0
    assert moved.tolist() == [False, True, False, True, True]
    np.testing.assert_allclose(accumulated["weight"][moved], whole["weight"], rtol=0, atol=1e-6)
    losses = [read_metrics(folder / name)[0]["train_loss"] for name in ("accumulated", "whole")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def test_the_average_is_that_of_the_weights_after_each_step(runs, small_folder, small_trees):
    framework, folder, noted = runs
    tree, weights = small_trees[framework], noted["average"]["weight"]
    average = noted["average"]["start"]
    for weight in weights:
        average = 0.7 * average + 0.3 * weight
    best = ["--weights", folder / "average" / f"best{SUFFIX[framework]}"]
    request = {"weights": {"num_classes": 3}}
    parts = run_parts(framework, folder / "loaded", *best, tree=tree, **request)
    loaded = parts["weights"]["classifier.6.weight"]
    loaded = loaded if framework == "torch" else loaded.T
    np.testing.assert_allclose(loaded, average, rtol=0, atol=1e-6)
    assert np.abs(loaded - weights[-1]).max() > 1e-4  # it is not the last weight
    options = [*best, "--data-path", small_folder, "--image-size", 63]
    done = run_train(framework, "--eval-only", *options, tree=tree)
    row = read_metrics(folder / "average")[0]
    assert f"val_loss {row['val_loss']:.6g}" in done.stdout, done.stderr


def test_deterministic_trains_as_ever_on_a_processor(runs):
    *_, noted = runs
    np.testing.assert_array_equal(noted["deterministic"]["weight"], noted["plain"]["weight"])


def test_bf16_and_channels_last_train_in_torch(runs):
    framework, _, noted = runs
    if framework != "torch":
        pytest.skip("torch alone has them on a processor")
    plain, bf16, last = (noted[name] for name in ("plain", "bf16", "channels last"))
    assert set(plain["dtype"]) == {"torch.float32"}
    assert set(bf16["dtype"]) == {"torch.bfloat16"}
    np.testing.assert_allclose(bf16["loss"], plain["loss"], rtol=0.02)
    assert last["channels_last"].all() and not plain["channels_last"].any()
    np.testing.assert_allclose(last["weight"], plain["weight"], rtol=0, atol=1e-6)


@pytest.mark.parametrize(("framework", "options", "words"), IMPOSSIBLE)
def test_what_a_framework_cannot_do_is_told(framework, options, words):
    assert_user_error(call(parse, framework, options), *words)


@pytest.mark.parametrize(("framework", "amp"), [("torch", "fp16"), ("paddle", "bf16")])
def test_what_a_processor_cannot_do_is_told(framework, amp, small_folder, tmp_path):
    """Without --device, the processor is found only when the framework looks for a GPU."""
    run = tmp_path / "run"
    done = run_train(framework, "--data-path", small_folder, "--output-dir", run, "--amp", amp)
    assert_user_error(done, f"--amp {amp}", "bf16")
    assert not run.exists()


@pytest.mark.parametrize(
    "framework", ["paddle", pytest.param("torch", marks=pytest.mark.seldom)]
)  # torch.compile takes a minute or more
def test_compile_trains_as_without(framework, small_folder, small_trees, tmp_path):
    if framework == "torch" and not shutil.which("g++"):
        pytest.skip("torch.compile needs a C++ compiler")
    options = [*PLAIN, "--data-path", small_folder]
    losses = []
    for more in ([], ["--compile"]):
        run = tmp_path / f"run{len(more)}"
        words = [*options, *more, "--output-dir", run]
        assert_success(run_train(framework, *words, tree=small_trees[framework]))
        losses.append(read_metrics(run)[0]["train_loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_compile_without_a_compiler_is_a_line(small_folder, small_trees, tmp_path):
    change = f"""
import os
from torch._inductor import config
os.environ["TORCHINDUCTOR_CACHE_DIR"] = {str(tmp_path / "cache")!r}
config.cpp.cxx = (None, "/no/compiler")  # as CXX says
"""
    options = [*PLAIN, "--data-path", small_folder, "--compile", "--output-dir", tmp_path / "run"]
    done = run_train_changed("torch", change, *options, tree=small_trees["torch"])
    assert_user_error(done, "--compile", "C++ compiler", "leave --compile out")


def test_pickled_averages_are_arrays(runs):
    framework, folder, _ = runs
    if framework != "paddle":
        pytest.skip("a .pdparams alone is read without its framework")
    contents = pickles.read(folder / "average" / "last.pdparams")
    assert contents["ema"].keys() == contents["model"].keys()
