"""tools/compare_runs.py: the verdict of two sets of runs, of any logs; mistakes are one line."""

import json

import numpy as np
import pytest

from tests.portproof.test_reports import IMAGE, assert_text
from tests.support import logs
from tests.support.helpers import assert_user_error, call_main
from tools import compare_runs


def write_run(folder, framework, top1, epochs=None):
    """Write a run folder of this project; `top1` is a list, one number an epoch."""
    folder.mkdir()
    (folder / "metrics.jsonl").write_text(logs.own(top1))
    arguments = {"framework": framework, "epochs": epochs or len(top1)}
    (folder / "args.json").write_text(json.dumps({"arguments": arguments}))
    return str(folder)


def several(folder, framework, final, spread=1.0, runs=5):
    """Write some runs that end around `final`, and return them joined by commas."""
    drawn = np.random.default_rng(len(framework)).standard_normal(runs)
    ends = (final + spread * (drawn - drawn.mean()) / drawn.std(ddof=1)).round(3).tolist()
    curves = [(folder / f"{framework}{seed}", [10.0, 50.0, end]) for seed, end in enumerate(ends)]
    return ",".join(write_run(run, framework, top1) for run, top1 in curves)


@pytest.fixture
def compare(run_tool):
    def run(*options):
        return run_tool(compare_runs, *options)

    return run


def test_runs_that_agree_within_the_margin(tmp_path, compare):
    sides = several(tmp_path, "torch", 56.5, 0.05), several(tmp_path, "paddle", 56.52, 0.05)
    status, report, text = compare(*sides)
    assert status == 0 and report["aligned"] is True and report["verdict"] == "equivalent"
    spreads = "\n  torch      5 runs: 56.500 ± 0.050\n  paddle     5 runs: 56.520 ± 0.050\n"
    assert text.startswith(f"val_top1 of the final epoch (3){spreads}")
    assert "paddle - torch: +0.020 points; 90 % interval -0.039 to +0.079;" in text
    assert "margin: ±0.15 points\nequivalent: the 90 % interval lies inside the margin\n" in text
    assert report["runs_needed"] == {"0.8": 4, "0.9": 4}
    assert "4 runs a side for a chance of 80 %, 4 for 90 %" in text
    assert report["difference"] == pytest.approx(0.02, abs=1e-3) and report["margin"] == 0.15
    row = {"run": sides[0].split(",")[0], "format": "this project", "epoch": 3}
    assert report["sides"][0]["runs"][0] == row | {"value": pytest.approx(56.5, abs=0.1)}


def test_runs_that_differ(tmp_path, compare):
    sides = several(tmp_path, "torch", 80), several(tmp_path, "paddle", 76)
    status, report, text = compare(*sides, "--report", tmp_path / "report")
    assert status == 1 and report["aligned"] is False and report["verdict"] == "different"
    assert "different: the 95 % interval excludes 0, by more than the margin\n" in text
    assert "to show agreement" not in text
    page = tmp_path / "report" / "runs.html"
    assert str(page) in text
    assert_text(page, "different", "Loss and accuracy", "paddle - torch: -4.000 points")
    assert page.read_text().count("data:image/png") == 1


def around(mean, spread):
    return ",".join(str(mean + spread * step) for step in (-1.2, -0.6, 0, 0.6, 1.2))


SHOWN = ["56.5,56.52,56.54", "56.62,56.66,56.7", "--margin"]
OPEN = "the 90 % interval is not inside the margin, and the 95 % one holds 0"
VERDICTS = [
    ([around(80, 1), around(80.1, 1)], "undecided", f"undecided: {OPEN}"),
    ([around(80, 1), around(80.1, 1), "--margin", 3], "equivalent", "equivalent: "),
    ([*SHOWN, 0.12], "different", "excludes 0, whether by more than the margin is open"),
    ([*SHOWN, 0.3], "equivalent", "there is a difference, but a smaller one"),
    (["56.5,56.5", "56.5,56.5,56.5"], "equivalent", "all runs of a side are alike: had they"),
]


@pytest.mark.parametrize(("options", "verdict", "words"), VERDICTS)
def test_a_verdict_and_its_words(compare, options, verdict, words):
    status, report, text = compare(*options)
    assert report["verdict"] == verdict and words in text
    assert report["aligned"] is (verdict == "equivalent") is (status == 0)
    assert verdict != "undecided" or report["runs_needed"]["0.8"] > 500


def test_one_run_alone_is_undecided_and_says_why(tmp_path, compare):
    single, other = (write_run(tmp_path / name, name, [80.0]) for name in ("torch", "paddle"))
    others = several(tmp_path, "paddle", 80)
    for side in ([other], [others], ["--against", 80]):
        status, report, text = compare(single, *side, "--epoch", 1)
        assert status == 1 and report["verdict"] == "undecided"
        assert report["agreement"] is None and report["runs_needed"] == {"0.8": None, "0.9": None}
        assert "torch) shows no spread between seeds" in text or "(torch, paddle) shows" in text


@pytest.mark.parametrize("form", ["paddleclas", "torchvision", "alexnet_prod"])
def test_logs_of_all_kinds_against_each_other_and_against_numbers(tmp_path, compare, form):
    files = {"timm": [], form: []}
    for name in files:
        for end in (56.5, 56.53, 56.48):
            files[name].append(tmp_path / f"{name}-{end}.log")
            files[name][-1].write_text(getattr(logs, name)([20.0, end]))
    status, report, _ = compare("--a", *files["timm"], "--b", *files[form][:2], 56.49)
    assert status == 0 and report["means"] == pytest.approx([56.50333, 56.50667], abs=1e-5)
    assert [run["epoch"] for run in report["sides"][1]["runs"]] == [2, 2, None]
    assert report["sides"][1]["runs"][2]["format"] == "number"


def test_runs_against_a_published_value(tmp_path, compare):
    runs = several(tmp_path, "paddle", 56.4, 0.05)
    status, report, text = compare(runs, "--against", 56.522, "--report", tmp_path / "report")
    assert status == 1 and report["verdict"] == "different" and report["against"] == 56.522
    assert "  published  56.522\n  paddle     5 runs: 56.400 ± 0.050\n" in text
    assert "paddle - published: -0.122 points" in text
    status, _, text = compare("--b", *runs.split(","), "--against", 56.45)
    assert status == 0 and "paddle - published: -0.050 points" in text


def test_the_epoch_that_is_compared(tmp_path, compare):
    def runs(name, *top1):
        pair = [top1, [top1[0], top1[1] + 0.02, *top1[2:]]]
        paths = [write_run(tmp_path / f"{name}{n}", "torch", run) for n, run in enumerate(pair)]
        return ",".join(paths)

    torch, paddle = runs("a", 10, 57, 56), runs("b", 58, 54.99, 56)
    longer = runs("c", 58, 54.99, 56, 57)

    def compared(*options):
        _, report, text = compare(*options)
        return pytest.approx(report["means"]), text.splitlines()[0]

    assert compared(torch, paddle) == ([56, 56], "val_top1 of the final epoch (3)")
    means, line = compared(torch, longer)
    assert means == [56, 57] and line.endswith("of the final epoch (3 and 4: unlike lengths)")
    means, line = compared(torch, paddle, "--epoch", "best")
    assert means == [57.01, 58] and line.endswith("of the best epoch of each run (1 and 2)")
    means, line = compared(torch, paddle, "--epoch", 2)
    assert means == [57.01, 55] and line == "val_top1 of epoch 2"
    mixed = f"{paddle.split(',')[0]},{longer.split(',')[1]}"
    assert compared(mixed, torch, "--epoch", 2)[0] == [55, 57.01]
    loss = "--metric", "val_loss", "--margin", 0.1, "--epoch", "best"
    assert compared(*torch.split(","), *loss)[0] == [0.7, 0.7]  # the lowest


def test_the_moving_average_is_compared_where_it_is_asked_for(tmp_path, compare):
    for seed, end in enumerate((56.5, 56.52)):
        text = logs.torchvision([20.0, end], average=[10.0, end + 1])
        (tmp_path / f"{seed}.log").write_text(text)
    files = ",".join(str(tmp_path / f"{seed}.log") for seed in (0, 1))
    assert compare(files, "--against", 56.5)[1]["means"] == pytest.approx([56.51])
    assert compare(files, "--against", 56.5, "--ema")[1]["means"] == pytest.approx([57.51])


def test_sides_of_one_name_are_told_apart(tmp_path, compare):
    sides = write_run(tmp_path / "a", "torch", [80.0]), write_run(tmp_path / "b", "torch", [80.5])
    _, _, text = compare(*sides, "--report", tmp_path / "report")
    assert "torch (b) - torch (a): +0.500" in text
    odd = write_run(tmp_path / "odd-run", IMAGE, [50.0])
    compare("--a", odd, "--b", sides[0], "--report", tmp_path / "odd")
    assert_text(tmp_path / "odd" / "runs.html", IMAGE)


def mistake(*options):
    """Return what is said of a mistake: one line on standard error, nothing on standard output."""
    done = call_main("tools.compare_runs", *options)
    assert_user_error(done)
    assert not done.stdout and done.stderr.count("\n") == 1
    return done.stderr


def test_runs_that_cannot_be_compared(tmp_path):
    good = write_run(tmp_path / "good", "torch", [80.0, 81.0, 82.0])
    short = write_run(tmp_path / "short", "torch", [80.0, 81.0])
    killed = write_run(tmp_path / "killed", "torch", [80.0, 81.0], epochs=3)
    for epoch in ("final", "best"):
        said = mistake(f"{good},{short}", good + "/metrics.jsonl", "--epoch", epoch)
        assert "end at unlike epochs" in said and "--epoch 2" in said
        assert "stopped at epoch 2 of 3; let it end" in mistake(killed, "80", "--epoch", epoch)
    assert "does not tell val_top1 of epoch 3" in mistake(good, killed, "--epoch", 3)
    broken = tmp_path / "broken.csv"
    broken.write_text(logs.timm([80.0]).replace("2.25", "nan"))
    loss = ("--metric", "val_loss", "--margin", 0.1)
    assert "val_loss of epoch 1 is nan; a run that broke down" in mistake(broken, good, *loss)
    vision = tmp_path / "vision.log"
    vision.write_text(logs.torchvision([80.0]))
    said = mistake(vision, good, *loss)
    assert "does not tell val_loss; it tells val_top1, val_top5" in said
    assert "no evaluation of a moving average; leave --ema out" in mistake(vision, good, "--ema")
    vision.write_text("Test: EMA Acc@1 80.000 Acc@5 90.000\n")
    assert "of a moving average alone; give --ema" in mistake(vision, good)


def test_wrong_usage(tmp_path):
    good = write_run(tmp_path / "good", "torch", [80.0])
    for options in ([], [good], [good, "80", "81"], ["--a", good], [good, "80", "--against", "80"]):
        assert "give the runs of two sides, or of one and --against" in mistake(*options)
    assert "by --a and --b, or of none" in mistake(good, "--b", "80")
    assert "no run between the commas" in mistake(good, ",")
    assert "is named twice; a run counts once" in mistake(good, f"80,{good}/../good")
    assert "val_loss needs a --margin" in mistake("1", "2", "--metric", "val_loss")
    assert "neither final, best nor a number" in mistake("1", "2", "--epoch", "last")
    assert "is no number from" in mistake("1", "2", "--margin", "0")
    assert "there is no such file" in mistake("101", "80")  # no accuracy, so a name


def test_the_help_says_what_the_words_mean():
    text = " ".join(call_main("tools.compare_runs", "--help").stdout.split())
    for word in ("Equivalent:", "Different:", "Undecided:", "10,000 images (CIFAR-10)", "90 % "):
        assert word in text
