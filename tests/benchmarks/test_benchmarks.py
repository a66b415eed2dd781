"""The benchmarks measure what they say: likely images, operations, turns. No time is held to."""

import importlib
import io
import json
import sys
from functools import partial
from itertools import product

import numpy as np
import pytest
from PIL import Image

from benchmarks import limits, measure, photos, step, variants
from benchmarks.measure import Line
from benchmarks.window import Window
from common.networks import Counted, Layer
from common.tables import read_csv
from portproof.system.errors import UserError
from tests.support.helpers import assert_success, assert_user_error, call_main, run, run_warm


def benchmark(name, *options):
    return run(sys.executable, "-m", f"benchmarks.{name}", *options)


def measure_quickly(name, folder, images, *options):
    """Run a benchmark on images; return the rows of its table."""
    words = [*options, "--data-path", images, "--output-dir", folder]
    assert_success(benchmark(name, "--quick", "--variants", "exact", *words))
    return read_csv(folder / f"{name}.csv")


def test_photos_have_the_size_and_bytes_of_imagenet():
    scenes = [photos.draw_scene(0, number) for number in range(3)]
    cuts = [(scene, 0, 100 * n + cut) for n, scene in enumerate(scenes) for cut in range(60)]
    files = [photos.encode(photos.cut_out(*cut)) for cut in cuts]
    assert len(set(files)) == len(files)
    assert 85_000 < np.mean([len(file) for file in files]) < 115_000
    sizes = np.array([Image.open(io.BytesIO(file)).size for file in files])
    assert np.abs(sizes.mean(0) - [488, 394]).max() < 20
    assert 0 < (sizes[:, 0] < sizes[:, 1]).mean() < 0.4


def test_photos_have_the_spectrum_of_photographs():
    grey = photos.cut_out(photos.draw_scene(0, 0), 0, 0)[:256, :256].mean(-1)
    power = np.abs(np.fft.fft2(grey - grey.mean())) ** 2
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(256), np.fft.fftfreq(256)))
    low, high = ((frequency > f) & (frequency < 2 * f) for f in (0.02, 0.16))
    slope = np.log(power[high].mean() / power[low].mean()) / np.log(8)
    assert -3 < slope < -1.2  # about 1/f^2; noise without structure would have 0


def test_photos_are_a_folder_that_the_seed_decides(tmp_path):
    folder = photos.write(tmp_path / "photos", count=3, classes=2, seed=5)
    names = sorted(str(path.relative_to(folder)) for path in folder.glob("*/*/*.jpg"))
    train = ["class-0000/000000.jpg", "class-0000/000001.jpg", "class-0001/000000.jpg"]
    assert names == [f"train/{name}" for name in train] + [f"val/{train[n]}" for n in (0, 2)]
    second = photos.encode(photos.cut_out(photos.draw_scene(5, 1), 5, 1))
    assert (folder / names[2]).read_bytes() == second
    with pytest.raises(UserError, match="too few"):
        photos.write(tmp_path / "none", count=1, classes=2)


def test_small_images_are_files_of_their_own(tmp_path):
    files = list(photos.write_small(tmp_path / "small", count=6, classes=3).glob("train/*/*.jpg"))
    assert len({path.stat().st_ino for path in files}) == len(files) == 6


def test_operations_of_one_convolution():
    layer = Counted(Layer("one", "conv", 3, 3, 2, 1), (2, 8, 8), (3, 2, 3, 3), (3, 4, 4))
    assert (layer.parameters, layer.operations) == (57, 54 * 16)
    rate, bandwidth, batch = 1e3, 1e12, 5  # products decide
    seconds = limits.step_seconds([layer], batch, rate, bandwidth, itemsize=4)
    assert seconds == pytest.approx(2 * 2 * 864 * batch / rate + 5 * 4 * 57 / bandwidth)
    slow = limits.step_seconds([layer], batch, 1e12, 1e3, itemsize=4)  # bytes decide
    assert slow == pytest.approx(2 * 4 * (54 + batch * (128 + 48)) / 1e3 + 5 * 4 * 57 / 1e3)


def test_operations_of_alexnet():
    assert sum(layer.operations for layer in limits.ALEXNET) == 714_188_480
    assert sum(layer.parameters for layer in limits.ALEXNET) == 61_100_840


def test_operations_are_those_that_torch_counts():
    program = """
import torch, torchvision
from torch.utils.flop_counter import FlopCounterMode
model = torchvision.models.alexnet()
with FlopCounterMode(display=False) as counter:
    model(torch.zeros(1, 3, 224, 224)).sum().backward()
print(counter.get_total_flops())
"""
    done = run_warm("torch", "-c", program)
    assert int(done.stdout) == limits.flops(limits.ALEXNET), done.stderr


def test_contenders_take_turns():
    calls = []

    def measured(name):
        calls.append(name)
        return {"rate": float(len(calls))}

    rounds = measure.interleave({name: partial(measured, name) for name in "AB"}, 2, warm_ups=1)
    assert "".join(calls) == "ABABAB"
    assert rounds == {"A": [{"rate": 3.0}, {"rate": 5.0}], "B": [{"rate": 4.0}, {"rate": 6.0}]}


def test_a_ratio_is_that_of_the_same_round():
    rates = {"peer": (10.0, 20.0, 40.0), "own": (20.0, 60.0, 160.0)}
    rounds = {name: [{"rate": rate} for rate in rates[name]] for name in rates}
    peer, own = measure.summarize(rounds, {"rate": "1/s", "none": ""}, "peer")
    assert peer == Line("peer", "rate", "1/s", 20, 10, 40, 3)
    assert own == Line("own", "rate", "1/s", 60, 20, 160, 3, 3, 2, 4)


def test_results_are_a_table_and_a_plot(tmp_path, capsys):
    own = Line("own", "rate", "1/s", 4, 3, 5, 3, 2, 1, 3)
    measure.write(tmp_path / "new", "some", "Some", [Line("peer", "rate", "1/s", 2, 1, 3, 3), own])
    rows = read_csv(tmp_path / "new" / "some.csv")
    columns = "contender figure unit median least most runs ratio ratio_least ratio_most machine"
    assert list(rows[0]) == columns.split()
    assert [row["ratio"] for row in rows] == ["", "2"]
    assert "cores" in rows[0]["machine"] and "numpy=" in rows[0]["machine"]
    assert Image.open(tmp_path / "new" / "some.png").width > 100
    assert "2 (1 to 3)" in capsys.readouterr().out


def test_a_window_leaves_out_the_first_steps():
    window = Window(warm_steps=2, steps=3)
    betweens = []
    window.between = lambda: betweens.append(len(window.computed))
    batches = [([0], [0] * size) for size in (100, 100, 1, 2, 3, 100)]
    assert [len(labels) for _, labels in window.watch(batches)] == [100, 100, 1, 2, 3]
    assert window.images == 6
    assert betweens == [1, 2, 3]
    assert len(window.waited) == len(window.computed) == 3
    assert window.figures()["images_per_s"] > 0


def test_a_window_needs_enough_images():
    with pytest.raises(UserError, match="used up after 3 batches"):
        list(Window(2, 2).watch([([0], [0])] * 3))


def test_a_window_repeats_one_batch():
    window = Window(1, 2)
    assert [labels for _, labels in window.repeat(iter([([0], [7]), ([0], [8])]))] == [[7]] * 3


def test_contenders_run_without_the_users_settings(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setenv("MKL_DEBUG_CPU_TYPE", "5")
    program = "import os, json; print(json.dumps({k: os.environ.get(k) for k in (%s)}))"
    names = "'OMP_NUM_THREADS', 'MKL_DEBUG_CPU_TYPE', 'MKL_NUM_THREADS'"
    seen = measure.run_json([sys.executable, "-c", program % names], MKL_NUM_THREADS="1")
    assert list(seen.values()) == [None, None, "1"]


def test_a_contender_that_fails_says_why():
    with pytest.raises(UserError, match="status 3, no figures; all is lost"):
        measure.run_json([sys.executable, "-c", "import sys; print('all is lost'); sys.exit(3)"])


def test_a_variant_that_is_none_is_named():
    with pytest.raises(UserError, match="no variant of paddle"):
        variants.known("paddle", ["bf16"])


@pytest.mark.parametrize("name", ["photos", "train", "loader", "step", "tools"])
def test_help_says_what_is_measured(name):
    said = importlib.import_module(f"benchmarks.{name}").__doc__.splitlines()[0]
    assert said in assert_success(call_main(f"benchmarks.{name}", "--help")).stdout


def test_loader_quickly(small_folder, tmp_path):
    rows = measure_quickly("loader", tmp_path, small_folder, "--framework", "torch")
    contenders = ("torchvision's reference", "torch exact")
    expected = [*product(contenders, ("images_per_core_s", "images_per_s"))]
    assert [(row["contender"], row["figure"]) for row in rows] == expected
    assert all(float(row["median"]) > 0 for row in rows)
    assert [bool(row["ratio"]) for row in rows] == [False, False, True, True]


def test_training_quickly(small_folder, tmp_path):
    # No workers: as installed, Paddle's loader with workers now and then hangs on busy cores.
    options = ["--framework", "paddle", "--workers", 0, "--batch-size", 2]
    measured = measure_quickly("train", tmp_path, small_folder, *options)
    rows = {(row["contender"], row["figure"]): row for row in measured}
    assert float(rows["Paddle as installed", "images_per_s"]["median"]) > 0
    assert float(rows["paddle exact", "images_per_s"]["ratio"]) > 0
    # The weights, their gradients and momentum alone take 733 MB.
    assert float(rows["paddle exact", "resident_mb"]["median"]) > 733


def test_a_step_is_measured_beside_the_rates(small_folder):
    window = ["--framework", "torch", "--made-up", "--rates", "bfloat16"]
    window += ["--warm-steps", 0, "--steps", 1]
    options = ["--data-path", small_folder, "--batch-size", 2, "--workers", 0]
    done = assert_success(benchmark("run_tree", *window, "--", *options))
    rounds = {"one": [json.loads(done.stdout.splitlines()[-1])]}
    (figures,) = step.hold_to_best(rounds, {"one": ("bfloat16", 2)})["one"]
    assert figures["gflop_per_image"] == pytest.approx(4.1446, abs=1e-4)
    assert figures["product_gflops"] > 0 and figures["copy_gb_per_s"] > 0
    assert 0 < figures["limit_share"] < 100


def test_a_folder_with_too_few_images_is_the_users_mistake(small_folder, tmp_path):
    options = ["--framework", "torch", "--variants", "exact"]
    done = benchmark("loader", *options, "--data-path", small_folder, "--output-dir", tmp_path)
    assert_user_error(done, "the images are used up after 1 batches")


@pytest.mark.parametrize("framework", list(step.DTYPES))
def test_the_step_is_timed_for_variants_that_there_are_in_one_process(framework):
    known = variants.known(framework, step.DTYPES[framework], in_one_process=True)
    assert known.keys() == step.DTYPES[framework].keys()
    assert not any("--split-batch" in options for options in known.values())


def test_a_contender_that_hangs_is_begun_anew(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(measure, "_patience", 2.0)
    seen = tmp_path / "seen"
    once = f"if [ -e {seen} ]; then echo '{{\"images_per_s\": 7}}'; else touch {seen}; sleep 60; fi"
    assert measure.run_json(["sh", "-c", once]) == {"images_per_s": 7}
    assert "hangs; begun anew" in capsys.readouterr().err


def test_the_limit_is_that_of_the_best_rates_of_a_dtype():
    def figures(gflops, copied):
        return {"images_per_s": 50.0, "product_gflops": gflops, "copy_gb_per_s": copied}

    rounds = {"slow": [figures(200.0, 40.0), figures(210.0, 20.0)]}
    rounds |= {"quick": [figures(500.0, 30.0)], "other": [figures(900.0, 30.0)]}
    kinds = {"slow": ("float32", 128), "quick": ("float32", 128), "other": ("bfloat16", 128)}
    held = step.hold_to_best(rounds, kinds)
    limit = 128 / limits.step_seconds(limits.ALEXNET, 128, 500e9, 40e9, 4)
    assert [one["limit_images_per_s"] for one in held["slow"]] == pytest.approx([limit] * 2)
    assert held["quick"][0]["limit_share"] == pytest.approx(100 * 50 / limit)
    assert held["other"][0]["limit_images_per_s"] > limit
