"""The card beside the best checkpoint: what it says is so, and its commands run."""

import argparse
import re
import shlex
from pathlib import Path

import pytest

from common import networks
from common.data.folder import FolderIndex
from common.paths import ROOT
from common.training import model_card
from common.training.run_folder import read_metrics
from tests.support.helpers import FRAMEWORKS, SUFFIX, assert_success, run_mains


def test_the_card_says_what_the_run_was(small_run, small_folder):
    *_, run = small_run
    card = (run / model_card.NAME).read_text()
    (row,) = read_metrics(run)
    for words in (
        f"- folder: {small_folder}",
        "- images: 18 to train, 12 to validate",
        "- classes: bars, checks, cross\n",
        "| `recipe` | sample |",
        "| `batch_size` | 6 |",
        "After epoch 1 of 1",
        f"| `val_top1` | {row['val_top1']:.6g} |",
        f"| `val_loss` | {row['val_loss']:.6g} |",
        "python 3.",
        "numpy ",
    ):
        assert words in card
    headings = re.findall("^## (.*)$", card, re.MULTILINE)
    assert headings == ["Data", "Recipe", "Results", "Versions", "Use", "Not good for"]


def test_the_commands_of_the_card_run(small_run, small_folder, small_trees, tmp_path):
    """Word for word, but for the small network of this test and a real image."""
    framework, tree, run = small_run
    other = next(name for name in FRAMEWORKS if name != framework)
    card = (run / model_card.NAME).read_text()
    assert f"From the folder {ROOT}" in card
    commands = []
    for line in [line for block in card.split("```\n")[1::2] for line in block.splitlines()]:
        image = shlex.quote(str(small_folder / "val" / "bars" / "0.jpg"))
        python, script, *words = shlex.split(line.replace("IMAGE", image))
        assert python == ".venv/bin/python" and (ROOT / script).is_file()
        commands.append((script, words))
    scripts = [f"AlexNet-{framework}/{name}.py" for name in ("predict", "train", "export")]
    assert [script for script, _ in commands] == [*scripts, f"AlexNet-{other}/predict.py"]
    *in_tree, in_other = [(Path(script).stem, words) for script, words in commands]
    predicted, measured, _ = map(assert_success, run_mains(tree, tmp_path, *in_tree))
    (row,) = read_metrics(run)
    assert f"val_top1 {row['val_top1']:.4g}" in measured.stdout
    (done,) = run_mains(small_trees[other], tmp_path, in_other)
    (run / "best.onnx").unlink()
    assert_success(done)
    for left, right in zip(predicted.stdout.split(), done.stdout.split(), strict=True):
        if left != right:  # a probability, in per cent with two places
            assert float(left) == pytest.approx(float(right), abs=0.011)


def args_of(framework, data_path, model):
    """Return the arguments of a run that a card speaks of."""
    args = dict.fromkeys(model_card.RECIPE, 1) | {"epochs": 9, "model": model}
    return argparse.Namespace(**args | {"framework": framework, "data_path": data_path})


def test_a_better_epoch_replaces_the_card_and_odd_names_do_not_break_it(small_run, tmp_path):
    framework, _, _ = small_run
    odd = "a|b\nc \udcff"
    args = args_of(framework, tmp_path / odd, "alexnet")
    index = FolderIndex([odd, *map(str, range(30))], ["x"] * 40, [0] * 40)
    best = tmp_path / f"best{SUFFIX[framework]}"
    for epoch in (3, 4):
        model_card.write(best, args, {"epoch": epoch, "val_top1": 50.0}, index, index)
    text = (tmp_path / model_card.NAME).read_text()
    assert "After epoch 4 of 9" in text and "After epoch 3" not in text
    assert "a\\|b c \\udcff" in text and "and 11 more" in text
    assert [path.name for path in tmp_path.iterdir()] == [model_card.NAME]


@pytest.mark.parametrize("model", networks.SMALLEST)
def test_the_card_names_the_network_and_only_commands_that_know_it(model, tmp_path):
    args = args_of("torch", None, model)
    index = FolderIndex(["a"], ["x"], [0])
    model_card.write(tmp_path / "best.pth", args, {"epoch": 1, "val_top1": 50.0}, index, index)
    text = (tmp_path / model_card.NAME).read_text()
    assert networks.ABOUT[model] in text and f"--model {model} --image-size" in text
    assert ("predict.py" in text) == (model not in networks.SMALL)
