"""A port by parts is held against another at every checkpoint that its functions allow."""

import json

import pytest

from portproof.cli import align
from portproof.core.verdict import CHECKPOINTS

PORT = """
import {framework}
import numpy as np
from {framework} import nn

SETTINGS = {{"lr": 0.01, "classes": 5}}


def model(settings):
    convolution, pool = nn.Conv2{d}(3, 4, 3, padding=1), nn.AdaptiveAvgPool2{d}(2)
    last = nn.Linear(16, settings.get("classes", 5))
    network = nn.Sequential(convolution, nn.ReLU(), pool, nn.Flatten(), last)
    for value in network.parameters():
        {draw}
    return network


def loss(outputs, batch):
    total = nn.functional.cross_entropy(outputs, batch["labels"])
    return {{"total": total, "half": total / 2}}


def optimizer(model, steps_per_epoch, settings):
    return {optimizer}


def save(model, optimizer, path):
    {framework}.save([model.state_dict(), optimizer.state_dict()], path)


def restore(model, optimizer, path):
    weights, state = {framework}.load(path)
    model.{load}(weights)
    optimizer.{load}(state)


def metric(outputs, batch):
    return {{"top1": 100 * float((outputs.argmax(1) == batch["labels"]).{mean})}}


def batches(split, epoch, settings):
    draws = np.random.default_rng([settings["seed"], epoch])
    for size in (4, 4, 2):
        yield {{"x": draws.random([size, 3, 8, 8], np.float32), "y": draws.integers(0, 5, size)}}


def export(model, folder, settings):
    def write():
        {framework}.save(model.state_dict(), folder + "/weights")
        again = globals()["model"]({{}})
        again.{load}({framework}.load(folder + "/weights"))
        return lambda images: again({framework}.{tensor}(images)).detach().numpy()

    return {{"weights": write}}
"""
SGD = "torch.optim.SGD(model.parameters(), lr=settings['lr'], momentum=0.9)"
MOMENTUM = "paddle.optimizer.Momentum(settings['lr'], 0.9, parameters=model.parameters())"
TORCH = {"framework": "torch", "d": "d", "optimizer": SGD, "load": "load_state_dict"}
TORCH |= {"draw": "nn.init.uniform_(value, -0.3, 0.3)"}
TORCH |= {"mean": "double().mean()", "tensor": "from_numpy"}
PADDLE = {"framework": "paddle", "d": "D", "optimizer": MOMENTUM, "load": "set_state_dict"}
PADDLE |= {"draw": "nn.initializer.Uniform(-0.3, 0.3)(value)"}
PADDLE |= {"mean": "astype('float64').mean()", "tensor": "to_tensor"}
ALL = [
    name for name in CHECKPOINTS if name != "distributed"
]  # which wants a loop of the port's own


@pytest.fixture
def check(tmp_path, kept_probes):
    """Align a port of each framework, edited by a function; return exit status and verdicts."""

    def call(edit=lambda text: text, only=CHECKPOINTS):
        words = []
        for names in (TORCH, PADDLE):
            folder = tmp_path / f"my-{names['framework']}"
            folder.mkdir()
            (folder / "port.py").write_text(edit(PORT.format(**names)))
            words.append(f"--{names['framework']}-port={folder / 'port.py'}")
        images = tmp_path / "data"
        for split in ("train", "val"):  # what these ports do not read
            (images / split / "class").mkdir(parents=True)
            (images / split / "class" / "0.jpg").touch()
        result = tmp_path / "out.json"
        words += ["--only", ",".join(only), "--data-path", images, "--json", result]
        status = align.main(list(map(str, words)))
        found = json.loads(result.read_text())["checkpoints"]
        return status, {one["name"]: one for one in found}

    return call


def test_every_checkpoint_but_the_one_that_wants_a_loop_is_aligned(check):
    status, found = check()
    told = {name: one["verdict"] for name, one in found.items()}
    assert status == 0, found
    assert [name for name, verdict in told.items() if verdict == "aligned"] == ALL
    assert told["distributed"] == "not run"
    assert found["distributed"]["why"] == "neither port has train()"


def test_a_run_that_loses_its_optimizer_is_named(check):
    def edit(text):
        return text.replace("    optimizer.set_state_dict(state)\n", "")

    status, found = check(edit, ["resume"])
    assert status == 1 and found["resume"]["verdict"] == "diverged"
    assert found["resume"]["where"].startswith("PaddlePaddle")
    assert "velocity is lost" in found["resume"]["cause"]


def test_a_metric_that_is_no_per_cent_is_named(check):
    def edit(text):
        return text.replace(
            '100 * float((outputs.argmax(1) == batch["labels"]).ast',
            'float((outputs.argmax(1) == batch["labels"]).ast',
        )

    status, found = check(edit, ["metric"])
    assert status == 1 and "PaddlePaddle: 0.15" in found["metric"]["cause"]


def test_a_checkpoint_without_its_functions_is_not_run_and_names_them(check):
    def edit(text):
        return text[: text.index("def loss")] + "\n\ndef optimizer():\n    pass\n"

    status, found = check(edit)
    assert status == 0, found
    ran = [name for name, one in found.items() if one["verdict"] == "aligned"]
    assert ran == ["init", "forward"]
    assert found["data"]["why"] == "neither port has batches()"
    assert "has train(), or else train_step(), or else loss()" in found["lr"]["why"]
    assert "or else loss() and save() and restore()" in found["resume"]["why"]


def test_a_network_that_cannot_be_made_is_told_of_at_each_checkpoint(check):
    def edit(text):
        return text.replace("last = nn", "last = mm")

    status, found = check(edit, ["init", "forward", "metric", "loss", "lr"])
    assert status == 1
    assert found["metric"]["verdict"] == "aligned"  # it needs no network of the port's
    for name in ("init", "forward", "loss", "lr"):
        assert found[name]["verdict"] == "error"
        assert "NameError: name 'mm' is not defined" in found[name]["why"]
