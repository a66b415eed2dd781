"""experiments/: where the loss curves of both frameworks part, and the image of it."""

import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from common.tables import read_csv
from experiments import curve_plot, curves, parting
from portproof.system.frameworks import FRAMEWORKS
from portproof.weights import tensors
from portproof.worker import client
from portproof.worker.training import Batches
from tests.support.helpers import assert_user_error, call_main, make_folder
from tests.support.planting import Edit
from tests.support.trees import SMALL, copy_tree


def grown(steps, start, doubling, noise=0.0):
    """A difference that doubles every `doubling` steps."""
    wobble = np.random.default_rng(0).normal(0, noise, steps)
    return start * 2 ** (np.arange(steps) / doubling + wobble)


def test_two_series_part_at_the_first_step_above_the_threshold():
    own = np.array([2.0, 2.0, 2.0, 1.0, 1.0])
    difference = parting.relative(own, own * [1, 1, 1.005, 0.98, 1.0])
    assert difference == pytest.approx([0, 0, 0.005, 0.02, 0], abs=1e-12)
    assert parting.first_above(difference, parting.PARTED) == 4  # counted from 1
    assert parting.first_above(difference, 1e-3) == 3
    assert parting.first_above(difference, 0.1) is None


def test_a_loss_that_is_no_number_parts_from_one_that_is():
    difference = parting.relative([1.0, np.nan, np.inf, np.nan, 0.0], [1.0, 1.0, 1.0, np.nan, 0.0])
    assert difference.tolist() == [0, np.inf, np.inf, 0, 0]


@pytest.mark.parametrize("doubling", [4, 15])
def test_growth_is_fitted_from_above_the_rounding_to_the_parting(doubling):
    difference = grown(400, 1e-9, doubling, noise=0.5)
    difference[::37] = 0  # the losses meet by chance
    difference[350:] = 0.5  # after the parting nothing grows
    assert parting.doubling(difference, "float32") == pytest.approx(doubling, rel=0.1)


def test_what_does_not_grow_has_no_doubling():
    assert parting.doubling(np.full(300, 2e-16), "float64") is None  # rounding
    assert parting.doubling(grown(300, 1e-3, -40), "float32") is None  # shrinks
    noise = np.abs(np.random.default_rng(0).normal(0, 1e-4, 300))
    assert parting.doubling(noise, "float32") is None
    assert parting.doubling(grown(8, 1e-5, 1), "float32") is None  # few steps


def test_a_fault_is_what_parts_float64_as_early_as_float32():
    rounding = grown(300, 1e-8, 10)
    assert not parting.is_fault(rounding, np.full(300, 2e-16))
    assert not parting.is_fault(rounding, grown(300, 1e-16, 10))
    assert parting.is_fault(rounding, np.full(300, 1e-2))
    assert parting.is_fault(rounding, np.maximum(rounding, 2e-6))
    assert parting.is_fault(np.full(300, 1e-8), grown(300, 1e-8, 40))  # float32 has not parted


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Three classes of seven images: three batches of eight an epoch, the last of five."""
    return make_folder(tmp_path_factory.mktemp("data") / "small", train=7, val=2)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """The folder of records, empty and of this file alone."""
    return tmp_path_factory.mktemp("records")


@pytest.fixture
def call(small_trees, images, kept, kept_probes, monkeypatch, capsys):
    def run_main(output, *options, paddle=None):
        monkeypatch.setattr(curves, "PROJECT", replace(curves.PROJECT, records=kept))
        monkeypatch.setattr(curves, "ONE_THREAD", {})  # so that one process serves every test
        trees = small_trees | ({"paddle": paddle} if paddle else {})
        argv = [f"--{name}-tree={tree}" for name, tree in trees.items()]
        argv += ["--data-path", images, "--batch-size", 8, "--steps", 5, "--output", output]
        return curves.main([str(word) for word in [*argv, *options]]), capsys.readouterr().out

    return run_main


def test_both_stay_together_in_float64_and_leave_a_table_an_image_and_a_page(
    call, tmp_path, kept, monkeypatch
):
    fewer = "--float64-steps", 4, "--control-steps", 3
    status, text = call(tmp_path / "out", *fewer)
    assert status == 0, text
    rows = read_csv(tmp_path / "out" / "curves.csv")
    assert [row["step"] for row in rows] == ["1", "2", "3", "4", "5"]
    for row in rows[:4]:  # across the end of an epoch
        own, theirs = float(row["torch_float64"]), float(row["paddle_float64"])
        assert own == pytest.approx(theirs, rel=1e-9)
        assert own == pytest.approx(float(row["torch_float32"]), rel=1e-4)
        assert float(row["difference_float64"]) < 1e-9
    assert len({row["torch_float64"] for row in rows[:4]}) == 4  # it trains
    assert rows[4]["torch_float64"] == rows[4]["difference_float64"] == ""
    assert all(float(row["difference_torch_bit"]) < 1e-4 for row in rows[:3])
    assert rows[3]["torch_bit"] == rows[3]["difference_paddle_bit"] == ""
    with Image.open(tmp_path / "out" / "curves.png") as image:
        assert min(image.size) > 600
    page = (tmp_path / "out" / "curves.md").read_text()
    assert "PyTorch and PaddlePaddle, float64 | not in 4 steps" in page
    assert "--data-path DIR" in page and str(tmp_path) not in page

    # A series that is whole is not trained again: only the one that is missing.
    records = [path for path in kept.iterdir() if len(list(path.glob("logits-*"))) == 4]
    lost = next(path for path in records if "float64" in (path / "training.json").read_text())
    shutil.rmtree(lost)
    requests = []
    original = client.Side.ask

    def ask(side, folder, **parts):
        requests.extend(parts)
        return original(side, folder, **parts)

    monkeypatch.setattr(client.Side, "ask", ask)
    status, text = call(tmp_path / "again", *fewer)
    assert status == 0, text
    assert requests.count("training") == 1, requests
    same = [(tmp_path / name / "curves.csv").read_bytes() for name in ("out", "again")]
    assert same[0] == same[1]


def test_another_rate_parts_them_in_float64_at_once(call, tmp_path):
    edits = [Edit("args.lr * world_size", "1.1 * args.lr * world_size"), *SMALL]
    tree = copy_tree("paddle", tmp_path / "AlexNet-paddle", edits)
    status, text = call(tmp_path / "out", paddle=tree)
    assert status == 1 and "no rounding but a fault" in text, text
    rows = read_csv(tmp_path / "out" / "curves.csv")
    difference = [float(row["difference_float64"]) for row in rows]
    assert difference[0] < 1e-12 and min(difference[2:]) > 1e-6, difference


def test_trees_that_read_other_batches_are_not_compared(call, tmp_path):
    tree = copy_tree("paddle", tmp_path / "AlexNet-paddle", [Edit("0.229", "0.23"), *SMALL])
    with pytest.raises(curves.UserError, match=r"other batches.*compare_data"):
        call(tmp_path / "out", paddle=tree)
    assert not list((tmp_path / "out").iterdir())


def test_batches_of_files_are_read_when_they_are_asked_for(tmp_path):
    batches = Batches({"folder": str(tmp_path), "steps": "3"})
    for number in range(3):
        np.save(tmp_path / f"images-{number}.npy", np.full(2 + number, number))
        np.save(tmp_path / f"labels-{number}.npy", np.full(2 + number, number))
    assert len(batches) == 3 and [len(batches[n][0]) for n in range(3)] == [2, 3, 4]
    np.save(tmp_path / "images-1.npy", np.zeros(9))
    assert batches[1][0].shape == (9,) and batches[2][1].tolist() == [2, 2, 2, 2]
    with pytest.raises(FileNotFoundError):
        batches[3]


def test_one_bit_of_one_weight_is_changed(tmp_path):
    weights = np.linspace(0.1, 1, 6, dtype=np.float32).reshape(2, 3)
    file = tmp_path / "torch-float32.safetensors"
    tensors.write(file, {"a": tensors.from_array(weights), "b": tensors.from_array(weights)})

    both = SimpleNamespace(files={(name, "float32"): file for name in FRAMEWORKS})
    curves.flip_last_bit(both)
    changed = tensors.read(both.files["torch", curves.FLIPPED])
    assert both.files["torch", curves.FLIPPED] == both.files["paddle", curves.FLIPPED]
    assert np.array_equal(changed["b"].array, weights)
    assert (changed["a"].array != weights).sum() == 1
    assert changed["a"].array[0, 0] == pytest.approx(0.1, rel=2e-7)
    assert np.array_equal(tensors.read(file)["a"].array, weights)


def test_an_image_is_drawn_of_series_that_part_and_of_lengths_of_their_own(tmp_path):
    own = np.linspace(2.3, 1, 100)
    pairs = [
        parting.Pair("float32", "both, float32", "float32", own, own + grown(100, 1e-8, 4)),
        parting.Pair("float64", "both, float64", "float64", own[:40], own[:40]),
        parting.Pair("torch_bit", "torch alone", "float32", own, own + 1e-9),
        parting.Pair("paddle_bit", "paddle alone", "float32", own, np.full(100, np.nan)),
    ]
    curve_plot.draw(tmp_path / "curves.png", pairs, "made up")
    with Image.open(tmp_path / "curves.png") as image:
        assert min(image.size) > 600
    table = curves.table(pairs).splitlines()
    assert len(table) == 8 and table[-1].startswith("*Doubles*: in how many steps")
    assert "oubles" not in curves.table(pairs[1:3])
    assert table[2].endswith("every 4 steps |") and "not in 40 steps" in table[3]


@pytest.mark.parametrize(
    ("words", "messages"),
    [
        (["--data-path", "{empty}/none"], ["there is no such folder"]),
        (["--data-path", "{empty}"], ["{empty}"]),
        (["--steps", 0], ["--steps"]),
        (["--data-path", "{images}", "--output", "{file}"], ["--output", "file"]),
        (["--float64-steps", 9, "--steps", 8], ["--float64-steps 9"]),
        (["--recipe", "paper", "--image-size", 64], ["alexnet-paper"]),
        (["--stepz", 3], ["--steps"]),
    ],
)
def test_mistakes_are_one_line_and_exit_status_2(words, messages, tmp_path, images):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    paths = {"empty": tmp_path / "empty", "images": images, "file": tmp_path / "file"}
    words = [str(word).format(**paths) for word in words]
    done = call_main("experiments.curves", *words)
    assert_user_error(done, *(message.format(**paths) for message in messages))
