import json

import pytest

from common.paths import ROOT
from common.training.args import get_args_parser, parse
from common.training.recipes import RECIPES
from tests.support.helpers import assert_success, assert_user_error, call, call_main

TOOLS = [path for path in sorted((ROOT / "tools").glob("*.py")) if "__main__" in path.read_text()]
# Those of the library show the command that is installed.
PORTPROOFS = {
    "align": "portproof align", "compare_data": "portproof data",
    "compare_forward": "portproof forward", "compare_runs": "portproof runs",
    "compare_training": "portproof training", "convert_project": "portproof convert",
    "transfer_weights": "portproof transfer",
}  # fmt: skip


def test_no_data_means_the_sample_recipe():
    args = parse("torch", [])
    assert (args.recipe, args.data_path, args.lr) == ("sample", None, RECIPES["sample"].lr)
    assert (args.workers, args.seed, args.device) == (2, 0, "auto")


def test_data_means_the_imagenet_recipe(tmp_path):
    args = parse("paddle", ["--data-path", str(tmp_path)])
    assert args.recipe == "imagenet"
    assert (args.lr, args.gpus, args.batch_size, args.epochs) == (0.01, 8, 32, 90)
    assert (args.image_size, args.resize_size) == (224, 256)


def test_options_go_before_the_recipe():
    args = parse("torch", ["--lr", "0", "--epochs", "3", "--image-size", "112"])
    assert (args.lr, args.epochs, args.image_size, args.resize_size) == (0, 3, 112, 128)


def refusal(argv, framework="torch"):
    """Return the line by which arguments are refused."""
    done = call(parse, framework, argv)
    assert_user_error(done)
    return done.stderr


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--epoch", "3"], "no option --epoch; did you mean --epochs?"),
        (["--frobnicate"], "no option --frobnicate"),
        (["extra"], "'extra' belongs to no option"),
        (["--epochs", "0"], "--epochs: '0' is no whole number from 1"),
        (["--epochs", "1.5"], "--epochs: '1.5' is no whole number"),
        (["--lr", "nan"], "--lr: 'nan' is no number"),
        (["--image-size", "14"], "--image-size: '14' is no whole number from 15"),
        (["--image-size", "62"], "--image-size 62: alexnet takes images of 63 pixels or more"),
        (["--model", "alexnet-paper", "--image-size", "64"], "takes images of 67 pixels or more"),
        (["--seed", "-1"], "--seed: '-1' is no whole number from 0"),
        (["--device", "tpu"], "'tpu' is none of auto, cpu, gpu"),
        (["--device", "gpu:x"], "'gpu:x' is none of auto, cpu, gpu"),
        (["--recipe", "cake"], "invalid choice: 'cake'"),
        (["--data-path", "/nowhere"], "--data-path /nowhere: there is no such folder"),
        (["--weights", "/nowhere.pth"], "--weights /nowhere.pth: there is no such file"),
        (["--recipe", "imagenet"], "name their folder by --data-path"),
        (["--eval-only"], "--eval-only needs the weights"),
        (["--dataset", "mnist"], "invalid choice: 'mnist'"),
        (["--dataset", "cifar10", "--data-path", "."], "give one of them"),
        (["--finetune"], "--finetune trains on from weights"),
        (["--skip-bad", "-1"], "'-1' is no whole number from 0"),
        (["--epochs", "1", "--warmup-epochs", "1"], "leaves nothing of --epochs 1"),
        (["--nesterov", "--momentum", "0"], "--nesterov needs a --momentum"),
    ],
)
def test_a_mistake_is_one_line_and_exit_status_2(argv, words):
    assert words in refusal(argv)


def test_help_is_grouped_and_explains_every_option():
    text = get_args_parser("torch").format_help()
    for group in ("data:", "recipe:", "model:", "run:"):
        assert f"\n{group}\n" in text
    for action in get_args_parser("torch")._actions:
        assert action.help, action.option_strings


@pytest.mark.parametrize(
    ("name", "recipe"),
    [("cifar10", "cifar10"), ("imagenette", "imagenet"), ("flowers102", "imagenet")],
)
def test_each_data_set_has_its_recipe(name, recipe):
    assert parse("torch", ["--dataset", name]).recipe == recipe
    assert parse("torch", ["--dataset", name, "--recipe", "sample"]).recipe == "sample"


def test_skipping_implies_the_check():
    assert parse("torch", []).verify_data is False
    assert parse("torch", ["--skip-bad", "1"]).verify_data is True


def stored_run(folder, argv):
    args = parse("torch", argv)
    checkpoint = folder / "last.pth"
    checkpoint.touch()
    (folder / "args.json").write_text(json.dumps({"arguments": vars(args)}, default=str))
    return checkpoint


def test_a_resumed_run_keeps_its_arguments(tmp_path):
    argv = ["--data-path", str(tmp_path), "--recipe", "sample", "--lr", "0.5", "--seed", "9"]
    args = parse("torch", ["--resume", str(stored_run(tmp_path, argv)), "--workers", "0"])
    assert (args.lr, args.seed, args.recipe) == (0.5, 9, "sample")
    assert args.data_path == tmp_path
    assert args.workers == 0  # how it is run may change


@pytest.mark.parametrize("argv", [["--lr", "0.4"], ["--seed", "8"], ["--epochs", "99"]])
def test_what_a_run_is_cannot_change_when_it_resumes(tmp_path, argv):
    checkpoint = stored_run(tmp_path, ["--lr", "0.5", "--seed", "9"])
    assert "resumes as it was" in refusal(["--resume", str(checkpoint), *argv])


def test_a_run_with_the_step_schedule_may_be_made_longer(tmp_path):
    checkpoint = stored_run(tmp_path, ["--schedule", "step", "--warmup-epochs", "0"])
    assert parse("torch", ["--resume", str(checkpoint), "--epochs", "99"]).epochs == 99


def test_a_run_of_the_other_framework_is_refused(tmp_path):
    assert "a run of torch" in refusal(["--resume", str(stored_run(tmp_path, []))], "paddle")


def test_a_resumed_run_keeps_its_data_set_and_what_it_leaves_out(tmp_path):
    checkpoint = stored_run(tmp_path, ["--dataset", "imagenette", "--skip-bad", "3"])
    args = parse("torch", ["--resume", str(checkpoint)])
    assert (args.dataset, args.skip_bad, args.verify_data) == ("imagenette", 3, True)
    args = parse("torch", ["--resume", str(checkpoint), "--data-path", str(tmp_path)])
    assert (args.dataset, args.data_path) == (None, tmp_path)


@pytest.mark.parametrize(
    ("name", "value"),
    [("lr", "fast"), ("epochs", -3), ("recipe", "cake"), ("image_size", [64]), ("seed", True)],
)
def test_a_value_in_args_json_that_no_option_takes_is_refused(tmp_path, name, value):
    checkpoint = stored_run(tmp_path, [])
    described = json.loads((tmp_path / "args.json").read_text())
    described["arguments"][name] = value
    (tmp_path / "args.json").write_text(json.dumps(described))
    assert "or is damaged" in refusal(["--resume", str(checkpoint)])


def test_fast_is_all_that_keeps_accuracy_unless_given_otherwise():
    torch, paddle = (parse(framework, ["--fast"]) for framework in ("torch", "paddle"))
    assert (torch.amp, torch.channels_last) == ("auto", True)
    assert (paddle.amp, paddle.channels_last) == ("auto", False)
    assert parse("torch", ["--fast", "--amp", "off"]).amp == "off"
    plain = parse("torch", [])
    assert (plain.fast, plain.amp, plain.channels_last) == (False, "off", False)


@pytest.mark.parametrize("tool", TOOLS, ids=lambda path: path.stem)
def test_help_of_a_tool_has_an_example_and_the_exit_statuses(tool):
    text = " ".join(assert_success(call_main(f"tools.{tool.stem}", "--help")).stdout.split())
    assert PORTPROOFS.get(tool.stem, f"python tools/{tool.name}") in text and "Exit status" in text
