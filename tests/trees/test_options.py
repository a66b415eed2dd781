"""Each option of precision and of the step does what it says, in both trees."""

import shutil

import numpy as np
import pytest

from common.training.args import parse
from portproof.files import pickles
from tests.support.helpers import (
    FRAMEWORKS,
    SUFFIX,
    assert_user_error,
    read_metrics,
    run_parts,
    run_train,
)
from tests.support.steps import run_steps
from tests.support.trees import SMALL, copy_tree

LR = 0.01
PLAIN = [
    "--recipe", "sample", "--image-size", 63, "--epochs", 1, "--warmup-epochs", 0, "--workers", 0,
    "--schedule", "step", "--lr", LR, "--momentum", 0, "--weight-decay", 0, "--dropout", 0,
    "--device", "cpu",
]  # fmt: skip
RUNS = {
    "plain": ["--batch-size", 6],
    "smooth": ["--batch-size", 6, "--label-smoothing", 0.3],
    "clipped": ["--batch-size", 6, "--clip-grad", 0.01],
    "clipped never": ["--batch-size", 6, "--clip-grad", 1e6],
    "accumulated": ["--batch-size", 4, "--accumulate", 2],  # 18 images: the last step is of 2
    "whole": ["--batch-size", 8],
    "average": ["--batch-size", 6, "--ema", 0.7, "--lr", 0.5],
    "deterministic": ["--batch-size", 6, "--deterministic"],
}
TORCH_RUNS = {
    "bf16": ["--batch-size", 6, "--amp", "bf16"],
    "channels last": ["--batch-size", 6, "--channels-last"],
}


@pytest.fixture(scope="module", params=FRAMEWORKS)
def runs(request, small_folder, tmp_path_factory):
    """All runs of a tree: (framework, folder, what was noted by name)."""
    framework = request.param
    place = tmp_path_factory.mktemp("options")
    tree = copy_tree(framework, place / f"AlexNet-{framework}", SMALL)
    wanted = RUNS | (TORCH_RUNS if framework == "torch" else {})
    commands = [
        [*PLAIN, *options, "--data-path", small_folder, "--output-dir", place / name]
        for name, options in wanted.items()
    ]
    found = dict(zip(wanted, run_steps(tree, place / "noted", *commands), strict=True))
    for name, one in found.items():
        assert one["status"] == 0, (name, one["err"])
    return framework, place, found


def log_softmax(logits):
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def test_label_smoothing_mixes_in_the_mean_over_all_classes(runs):
    _, _, found = runs
    for name, smoothing in (("plain", 0.0), ("smooth", 0.3)):
        one = found[name]
        logs = log_softmax(one["logits"])  # [steps, N, C]
        own = np.take_along_axis(logs, one["labels"][..., None], -1)[..., 0]
        expected = -((1 - smoothing) * own + smoothing * logs.mean(-1)).mean(-1)
        np.testing.assert_allclose(one["loss"], expected, rtol=1e-5)


def test_gradients_are_clipped_to_their_norm(runs):
    _, _, found = runs
    plain, clipped = found["plain"]["moved"] / LR, found["clipped"]["moved"] / LR
    assert (plain > 0.02).all()  # else there is nothing to clip
    np.testing.assert_allclose(clipped, 0.01, rtol=1e-3)
    np.testing.assert_array_equal(found["clipped never"]["weight"], found["plain"]["weight"])


def test_batches_that_are_accumulated_are_one_batch(runs):
    _, place, found = runs
    assert len(found["accumulated"]["weight"]) == 5 and len(found["whole"]["weight"]) == 3
    moved = found["accumulated"]["moved"] > 0
    assert moved.tolist() == [False, True, False, True, True]
    own = found["accumulated"]["weight"][moved]
    np.testing.assert_allclose(own, found["whole"]["weight"], rtol=0, atol=1e-6)
    losses = [read_metrics(place / name)[0]["train_loss"] for name in ("accumulated", "whole")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def test_the_average_is_that_of_the_weights_after_each_step(runs, small_folder):
    framework, place, found = runs
    assert {path.name for path in (place / "average").iterdir()} >= {f"best{SUFFIX[framework]}"}
    start = found["average"]["start"]
    average = start
    for weight in found["average"]["weight"]:
        average = 0.7 * average + 0.3 * weight
    best = place / "average" / f"best{SUFFIX[framework]}"
    loaded = run_parts(
        framework, place / "loaded", "--weights", best, tree=place / f"AlexNet-{framework}",
        weights={"num_classes": 3},
    )["weights"]["classifier.6.weight"]  # fmt: skip
    own = loaded if framework == "torch" else loaded.T
    np.testing.assert_allclose(own, average, rtol=0, atol=1e-6)
    assert np.abs(own - found["average"]["weight"][-1]).max() > 1e-4  # it is not the last weight
    options = ["--weights", best, "--data-path", small_folder, "--image-size", 63]
    done = run_train(framework, "--eval-only", *options, tree=place / f"AlexNet-{framework}")
    row = read_metrics(place / "average")[0]
    assert f"val_loss {row['val_loss']:.6g}" in done.stdout, done.stderr


def test_deterministic_trains_as_ever_on_a_processor(runs):
    _, _, found = runs
    np.testing.assert_array_equal(found["deterministic"]["weight"], found["plain"]["weight"])


def test_bf16_and_channels_last_train_in_torch(runs):
    framework, _, found = runs
    if framework != "torch":
        pytest.skip("torch alone has them on a processor")
    assert set(found["plain"]["dtype"]) == {"torch.float32"}
    assert set(found["bf16"]["dtype"]) == {"torch.bfloat16"}
    np.testing.assert_allclose(found["bf16"]["loss"], found["plain"]["loss"], rtol=0.02)
    assert found["channels last"]["channels_last"].all()
    assert not found["plain"]["channels_last"].any()
    own, other = (found[name]["weight"] for name in ("channels last", "plain"))
    np.testing.assert_allclose(own, other, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("framework", "options", "words"),
    [
        ("torch", ["--amp", "fp16", "--device", "cpu"], ["--amp fp16", "bf16"]),
        ("paddle", ["--amp", "fp16", "--device", "cpu"], ["--amp fp16"]),
        ("paddle", ["--channels-last"], ["--channels-last", "leave it out"]),
        ("paddle", ["--tensorboard"], ["--visualdl"]),
        ("torch", ["--visualdl"], ["--tensorboard"]),
    ],
)
def test_what_a_framework_cannot_do_is_told(framework, options, words, capsys):
    with pytest.raises(SystemExit) as caught:
        parse(framework, options)
    told = capsys.readouterr().err
    assert caught.value.code == 2 and told.count("\n") == 1
    assert all(word in told for word in words)


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
    tree = small_trees[framework]
    options = [*PLAIN, "--data-path", small_folder, "--batch-size", 6]
    losses = []
    for more in ([], ["--compile"]):
        run = tmp_path / f"run{len(more)}"
        done = run_train(framework, *options, *more, "--output-dir", run, tree=tree)
        assert done.returncode == 0, done.stderr
        losses.append(read_metrics(run)[0]["train_loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_compile_without_a_compiler_is_a_line(small_folder, small_trees, tmp_path):
    done = run_train(
        "torch", *PLAIN, "--data-path", small_folder, "--compile", "--output-dir", tmp_path / "run",
        tree=small_trees["torch"], CXX="/no/compiler",
        TORCHINDUCTOR_CACHE_DIR=str(tmp_path / "cache"),
    )  # fmt: skip
    assert_user_error(done, "--compile", "C++ compiler", "leave --compile out")


def test_pickled_averages_are_arrays(runs):
    framework, place, _ = runs
    if framework != "paddle":
        pytest.skip("a .pdparams alone is read without its framework")
    contents = pickles.read(place / "average" / "last.pdparams")
    assert contents["ema"].keys() == contents["model"].keys()
