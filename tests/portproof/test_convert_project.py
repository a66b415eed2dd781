"""tools/convert_project.py from end to end, with the real converters in their own environments.

Both are made at first use. X2Paddle's needs Python 3.10 or 3.11; elsewhere its tests are left out.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from functools import partial

import pytest

from common.paths import ROOT
from portproof.cli import convert as convert_command
from portproof.cli.project import Project
from portproof.cli.verify import Verification
from portproof.convert import environments, running
from portproof.convert.environments import Environment
from tests.support import helpers
from tests.support.helpers import TIMEOUT, assert_success, assert_user_error, call_main, run_warm
from tests.support.trees import SMALL, copy_tree
from tools.project import PROJECT

TOOL = ROOT / "tools" / "convert_project.py"
TORCH = ROOT / "AlexNet-torch"
NET = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(6, 6)
        self.hidden = nn.Linear(6, 6)
        self.out = nn.Linear(6, 3)

    def forward(self, words):
        return self.out(torch.relu(self.hidden(self.embed(words))))
"""
PORT = """
import torch
from torch import nn

SETTINGS = {"lr": 0.1, "epochs": 1}


def model(settings):
    return nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                         nn.Linear(2, settings.get("classes") or 5))


def optimizer(model, steps_per_epoch, settings):
    return torch.optim.SGD(model.parameters(), lr=settings["lr"])


def train_step(model, optimizer, batch):
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(model(batch["images"]), batch["labels"])
    loss.backward()
    optimizer.step()
    return loss.detach()
"""
# Makes weights, or says what the network gives with them.
MAKE = """
import os, sys, torch
os.chdir(sys.argv[1])
from net import Net
torch.manual_seed(0)
net = Net()
torch.save(net.state_dict(), "w.ckpt")
torch.save({"state_dict": net.state_dict(), "epoch": 3}, "sub/w.pt")
print(net(torch.tensor([[0, 1, 5]])).tolist())
"""
USE = """
import sys
import paddle
from net import Net
net = Net()
net.set_state_dict(paddle.load(sys.argv[1]))
print(net(paddle.to_tensor([[0, 1, 5]])).tolist())
"""
HAS_PYTHON = sys.version_info[:2] in environments.X2PADDLE_PYTHONS
x2paddle = pytest.mark.skipif(not HAS_PYTHON, reason="it needs another Python")

pytestmark = pytest.mark.usefixtures("warm_probes")


@pytest.fixture(scope="module", autouse=True)
def converted_once(tmp_path_factory):
    """A converter, which takes seconds, runs once for all that convert the same files."""
    conversions, convert = {}, running.convert

    def convert_once(environment, staged, target, leave=frozenset()):
        files = {path.relative_to(staged): path for path in staged.rglob("*") if path.is_file()}
        contents = tuple((name, files[name].read_bytes()) for name in sorted(files))
        key = environment.converter, contents, frozenset(leave)
        if key not in conversions:
            folder = tmp_path_factory.mktemp("conversion") / "out"
            conversions[key] = convert(environment, staged, folder, leave)
        shutil.copytree(conversions[key].folder, target)
        return replace(conversions[key], folder=target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "convert", convert_once)
        yield


def convert(*arguments):
    return call_main("tools.convert_project", *arguments)


def outputs(framework, folder, program, *arguments):
    """Return the last line that a program beside net.py prints: the network's outputs."""
    done = assert_success(run_warm(framework, "-c", program, *arguments, PYTHONPATH=str(folder)))
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A small tree, what it is converted to, the report and the text."""
    folder = tmp_path_factory.mktemp("paconvert")
    source = copy_tree("torch", folder / "AlexNet-torch", SMALL)
    done = convert(source, folder / "tree", "--json", folder / "report.json")
    assert done.returncode == 1, done.stderr  # something is left: export.py has no counterpart
    return source, folder / "tree", json.loads((folder / "report.json").read_text()), done.stdout


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A torch project with weights, a script, and a file that is no source; its outputs."""
    folder = tmp_path_factory.mktemp("original") / "project"
    (folder / "sub").mkdir(parents=True)
    (folder / "net.py").write_text(NET)
    (folder / "run.sh").write_text("python net.py --weights w.ckpt\n")
    (folder / "notes.txt").write_text("stays\n")
    (words,) = outputs("torch", folder, MAKE, folder)
    return folder, [[pytest.approx(row, abs=1e-6) for row in words]]


@pytest.fixture
def project(original, tmp_path):
    """A copy of it."""
    return shutil.copytree(original[0], tmp_path / "project")


def test_every_file_is_python_and_what_is_left_is_told(tree):
    _, folder, report, text = tree
    for path in folder.rglob("*.py"):
        contents = path.read_text()
        compile(contents, path, "exec")
        assert ">>>>>>" not in contents
        assert str(folder.parent) not in contents  # no path of this machine
    left = [finding for finding in report["findings"] if finding["kind"] == "by hand"]
    known = {"export.py", "checkpoint.py", "predict.py", "train.py"}
    assert {finding["file"] for finding in left} <= known
    for finding in left:
        assert "{file}:{line}: ".format(**finding) in text and finding["fix"] in text
    assert report["counts"]["not_written"] == 0


def test_optimizer_and_schedule(tree):
    text = " ".join((tree[1] / "optim.py").read_text().split())
    assert "paddle.optimizer.Momentum(" in text and "get_lr()" in text
    assert "paddle_helpers.SequentialLR(" in text and "torch.optim" not in text


def test_training_is_that_of_the_original(tree):
    verdict = Verification(*tree[:2], Environment("paconvert", ROOT), PROJECT).training(steps=2)
    assert verdict.aligned, verdict.cause
    assert verdict.float64 < 1e-12


def test_a_port_file_of_another_project_is_converted_and_held_to_the_original(tmp_path, capsys):
    """Without a port file for Paddle, that of the project itself is converted."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "port.py").write_text(PORT)
    words = [tmp_path / "in", tmp_path / "out", "--verify", "--steps", 2]
    status = convert_command.main([str(word) for word in words], Project(root=ROOT))
    said = capsys.readouterr().out
    assert status == 0, said
    assert "\nforward: aligned (float64 " in said
    assert "\ntraining, 2 steps: aligned (float64 " in said
    converted = (tmp_path / "out" / "port.py").read_text()
    assert "import paddle" in converted and "torch" not in converted.replace("pytorch", "")


def test_project_with_weights(original, project, tmp_path):
    """A linked folder is not followed."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "old.py").write_text("print 'a'\n")
    (project / "data").symlink_to(tmp_path / "data")
    (project / "gone").symlink_to(tmp_path / "gone")
    out = tmp_path / "out"
    done = assert_success(convert(project, out, "--pretrained", project))
    assert "data:1: not copied: a link to another folder" in done.stdout
    names = {str(path.relative_to(out)) for path in out.rglob("*")}
    assert names >= {"net.py", "run.sh", "notes.txt", "w.pdparams", "sub/w.pdparams"}
    assert "data" not in names and not [name for name in names if name.endswith((".pt", ".ckpt"))]
    assert "w.pdparams" in (out / "run.sh").read_text()
    for weights in ("w.pdparams", "sub/w.pdparams"):
        assert outputs("paddle", out, USE, out / weights) == original[1]


def test_weights_of_the_project_keep_their_place(project, tmp_path):
    shutil.copy(project / "sub" / "w.pt", project / "sub" / "w.pth")
    done = convert(project, tmp_path / "out", "--pretrained", project / "sub")
    assert done.returncode == 1
    assert "w.pth:1: not converted: sub/w.pdparams is what another file" in done.stdout
    assert (tmp_path / "out" / "sub" / "w.pdparams").is_file()


def test_single_file(project, tmp_path):
    assert_success(convert(project / "net.py", tmp_path / "out"))
    assert {path.name for path in (tmp_path / "out").glob("*.py")} >= {"net.py"}


def test_check_converts_nothing(project):
    before = sorted(project.rglob("*"))
    done = convert(project, "--check")
    assert done.returncode == 1 and "run.sh:1: " in done.stdout
    assert sorted(project.rglob("*")) == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_nothing_is_left(project, tmp_path, number):
    """What is there before stays as it was, and no scratch folder stands beside it."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    command = [sys.executable, TOOL, project, tmp_path / "out", "--force", "--pretrained", project]
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    options = streams | {"env": os.environ | {"PYTHONPATH": str(ROOT)}}
    interruptible = partial(signal.signal, signal.SIGINT, signal.default_int_handler)
    process = helpers.start(*command, **options, preexec_fn=interruptible)
    helpers.wait_until(lambda: list(tmp_path.glob(".tools-*")), process)
    process.send_signal(number)
    _, said = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 128 + number, said
    assert "Traceback" not in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "project"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine"]


def test_a_damaged_file_of_weights_is_named(project, tmp_path):
    bad = tmp_path / "bad.pth"
    bad.write_bytes(b"no weights")
    assert_user_error(convert(project, tmp_path / "out", "--pretrained", bad), "bad.pth")
    assert not (tmp_path / "out").exists()


def test_an_environment_that_was_broken_off_is_made_anew(tmp_path, monkeypatch):
    environment = Environment("paconvert", tmp_path)
    folder = tmp_path / ".venv-convert"

    def fails(*command):
        folder.mkdir(exist_ok=True)
        raise KeyboardInterrupt

    monkeypatch.setattr(environments, "_run", fails)
    with pytest.raises(KeyboardInterrupt):
        environment.python()
    assert not folder.exists() and not environment.is_made


def test_x2paddle_asks_for_its_python(monkeypatch):
    monkeypatch.setattr(environments.sys, "version_info", (3, 13, 0))
    with pytest.raises(environments.UserError, match=r"3\.10 and 3\.11"):
        Environment("x2paddle", ROOT).python()


@x2paddle
def test_x2paddle_weights_are_turned_by_type(original, project, tmp_path):
    out = tmp_path / "out"
    options = ["--with", "x2paddle", "--leave", "layout", "--pretrained", project / "w.ckpt"]
    done = assert_success(convert(project, out, *options))
    assert "compat" not in (out / "net.py").read_text()
    python = Environment("x2paddle", ROOT).python()
    done = helpers.run(python, "-W", "ignore", "-c", USE, out / "w.pdparams", PYTHONPATH=str(out))
    assert json.loads(done.stdout.splitlines()[-1]) == original[1]


@x2paddle
def test_x2paddle_has_the_rate_of_the_optimizer(tmp_path):
    (tmp_path / "in").mkdir()
    shutil.copy(TORCH / "optim.py", tmp_path / "in")
    texts = []
    for options in (["--leave", "learning rate"], []):
        out = tmp_path / f"out{len(options)}"
        assert_success(convert(tmp_path / "in", out, "--with", "x2paddle", *options))
        texts.append((out / "optim.py").read_text())
    assert "learning_rate=0.01" in texts[0] and "0.01)" not in texts[1]
