"""tools/convert_project.py from end to end, with the real converters in their own environments.

Both are made at first use: PaConvert's in seconds; X2Paddle's, which borrows the installed
frameworks, in half a minute. It needs Python 3.10 or 3.11; elsewhere its tests are left out.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from common.paths import ROOT
from portproof.cli import convert as convert_command
from portproof.cli.project import Project
from portproof.cli.verify import Verification
from portproof.convert import environments
from portproof.convert.environments import Environment
from tests.support.helpers import TIMEOUT, assert_user_error, run
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
import torch
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
x2paddle = pytest.mark.skipif(
    sys.version_info[:2] not in environments.X2PADDLE_PYTHONS,
    reason="X2Paddle runs on Python 3.10 and 3.11",
)


def convert(*arguments):
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return run(sys.executable, TOOL, *arguments, PYTHONPATH=path)


def converted_tree(folder, *options):
    done = convert(TORCH, folder / "tree", "--json", folder / "found.json", *options)
    assert done.returncode == 1, done.stderr  # something is left: export.py has no counterpart
    return folder / "tree", json.loads((folder / "found.json").read_text()), done.stdout


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return converted_tree(tmp_path_factory.mktemp("paconvert"))


@pytest.fixture
def project(tmp_path):
    """A torch project with weights, a script, and a file that is no source."""
    folder = tmp_path / "project"
    (folder / "sub").mkdir(parents=True)
    (folder / "net.py").write_text(NET)
    (folder / "run.sh").write_text("python net.py --weights w.ckpt\n")
    (folder / "notes.txt").write_text("stays\n")
    done = run(sys.executable, "-c", f"import os; os.chdir({str(folder)!r})\n{MAKE}",
               PYTHONPATH=str(folder))  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout)


def test_every_file_is_python_and_what_is_left_is_told(tree):
    folder, found, said = tree
    for path in folder.rglob("*.py"):
        compile(path.read_text(), path, "exec")
        assert ">>>>>>" not in path.read_text()
    left = [one for one in found["findings"] if one["kind"] == "by hand"]
    known = {"export.py", "checkpoint.py", "predict.py", "train.py"}
    assert {one["file"] for one in left} <= known
    for one in left:
        assert f"{one['file']}:{one['line']}: " in said and one["fix"] in said
    assert found["counts"]["not_written"] == 0


def test_optimizer_and_schedule(tree):
    text = " ".join((tree[0] / "optim.py").read_text().split())
    assert "paddle.optimizer.Momentum(" in text and "get_lr()" in text
    assert "paddle_helpers.SequentialLR(" in text and "torch.optim" not in text


def test_no_path_of_this_machine(tree):
    for path in tree[0].rglob("*.py"):
        assert str(tree[0].parent) not in path.read_text()


def test_training_is_that_of_the_original(tree):
    environment = Environment("paconvert", ROOT)
    verdict = Verification(TORCH, tree[0], environment, PROJECT).training(steps=2)
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


def test_project_with_weights(project, tmp_path):
    folder, expected = project
    done = convert(folder, tmp_path / "out", "--pretrained", folder)
    assert done.returncode == 0, done.stdout + done.stderr
    out = tmp_path / "out"
    names = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert names >= {"net.py", "run.sh", "notes.txt", "w.pdparams", "sub/w.pdparams"}
    assert not [name for name in names if name.endswith((".pt", ".ckpt"))]
    assert "w.pdparams" in (out / "run.sh").read_text()
    for weights in ("w.pdparams", "sub/w.pdparams"):
        done = run(sys.executable, "-W", "ignore", "-c", USE, out / weights, PYTHONPATH=str(out))
        assert json.loads(done.stdout.splitlines()[-1]) == [
            [pytest.approx(row, abs=1e-6) for row in word] for word in expected
        ]


def test_weights_of_the_project_keep_their_place(project, tmp_path):
    folder, _ = project
    shutil.copy(folder / "sub" / "w.pt", folder / "sub" / "w.pth")
    done = convert(folder, tmp_path / "out", "--pretrained", folder / "sub")
    assert done.returncode == 1
    assert "w.pth:1: not converted: sub/w.pdparams is what another file" in done.stdout
    assert (tmp_path / "out" / "sub" / "w.pdparams").is_file()


def test_single_file(project, tmp_path):
    done = convert(project[0] / "net.py", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "out").glob("*.py")} >= {"net.py"}


def test_check_converts_nothing(project):
    folder, _ = project
    before = sorted(folder.rglob("*"))
    done = convert(folder, "--check")
    assert done.returncode == 1 and "run.sh:1: " in done.stdout
    assert sorted(folder.rglob("*")) == before


def test_wrong_usage(project, tmp_path):
    folder, _ = project
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    (tmp_path / "a.txt").touch()
    (tmp_path / "empty").mkdir()
    for words, arguments in (
        ("no such file", (tmp_path / "none", tmp_path / "out")),
        ("holds no Python", (tmp_path / "empty", tmp_path / "out")),
        ("holds no Python", (tmp_path / "empty", "--check")),
        ("you are in it", (folder, Path.home(), "--force")),
        ("no .py file", (tmp_path / "a.txt", tmp_path / "out")),
        ("--force", (folder, tmp_path / "full")),
        ("another folder", (folder, folder / "out")),
        ("OUT", (folder,)),
        ("--verify", (folder, tmp_path / "out", "--verify")),
        ("--with", (folder, tmp_path / "out", "--with", "hope")),
    ):
        assert_user_error(convert(*arguments), words)
    assert not (tmp_path / "out").exists()


def test_a_file_of_python_2_is_named(project, tmp_path):
    (project[0] / "old.py").write_text("print 'a'\n")
    assert_user_error(convert(project[0], tmp_path / "out"), "old.py:1")
    assert not (tmp_path / "out").exists()


def test_a_linked_folder_is_not_followed(project, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "old.py").write_text("print 'a'\n")
    (project[0] / "data").symlink_to(tmp_path / "data")
    (project[0] / "gone").symlink_to(tmp_path / "gone")
    done = convert(project[0], tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "data:1: not copied: a link to another folder" in done.stdout
    assert not (tmp_path / "out" / "data").exists()


@pytest.mark.parametrize("of", [signal.SIGINT, signal.SIGTERM])
def test_stopped_nothing_is_left(project, tmp_path, of):
    """What is there before stays as it was, and no scratch folder stands beside it."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        [sys.executable, TOOL, project[0], tmp_path / "out", "--force", "--pretrained", project[0]],
        env=os.environ | {"PYTHONPATH": path},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    while not list(tmp_path.glob(".tools-*")) and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(of)
    _, said = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 128 + of, said
    assert b"Traceback" not in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "project"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine"]


def test_a_damaged_file_of_weights_is_named(project, tmp_path):
    bad = tmp_path / "bad.pth"
    bad.write_bytes(b"no weights")
    assert_user_error(convert(project[0], tmp_path / "out", "--pretrained", bad), "bad.pth")
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
def test_x2paddle_weights_are_turned_by_type(project, tmp_path):
    folder, expected = project
    done = convert(folder, tmp_path / "out", "--with", "x2paddle", "--leave", "layout",
                   "--pretrained", folder / "w.ckpt")  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    out = tmp_path / "out"
    assert "compat" not in (out / "net.py").read_text()
    python = Environment("x2paddle", ROOT).python()
    done = run(python, "-W", "ignore", "-c", USE, out / "w.pdparams", PYTHONPATH=str(out))
    found = json.loads(done.stdout.splitlines()[-1])
    assert found == [[pytest.approx(row, abs=1e-6) for row in word] for word in expected]


@x2paddle
def test_x2paddle_has_the_rate_of_the_optimizer(tmp_path):
    (tmp_path / "in").mkdir()
    shutil.copy(TORCH / "optim.py", tmp_path / "in")
    done = convert(tmp_path / "in", tmp_path / "raw", "--with", "x2paddle", "--leave",
                   "learning rate")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "learning_rate=0.01" in (tmp_path / "raw" / "optim.py").read_text()
    done = convert(tmp_path / "in", tmp_path / "out", "--with", "x2paddle")
    assert done.returncode == 0, done.stderr
    assert "0.01)" not in (tmp_path / "out" / "optim.py").read_text()
