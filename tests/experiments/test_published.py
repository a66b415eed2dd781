"""torchvision's published weights: fetched atomically, evaluated alike in both trees."""

import hashlib
import json
import os
import re
import shutil
import socket
import sys

import pytest

from experiments import evaluate_published as tool
from tests.support import fake_archives, helpers
from tests.support.fetching import CLOSED, run_fetching
from tests.support.helpers import assert_success, assert_user_error, call_main, run_warm
from tests.support.planting import Edit, plant
from tests.support.trees import SMALL, copy_tree

CONTENTS = b"weights, in place of 233 MB" * 5000
NAME = f"alexnet-{hashlib.sha256(CONTENTS).hexdigest()[:8]}.pth"
PATCH = f"""
from torchvision.models import AlexNet_Weights
AlexNet_Weights.IMAGENET1K_V1.value.url = BASE + {NAME!r}
"""
STALL = "import downloads\ndownloads.STALLED = 0.2\n"


def fetch(base, folder, patch=PATCH, python=None):
    return run_fetching("fetch_weights", [folder], base, patch, python)


def left(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.fixture
def server(tmp_path):
    """A server of the file: (the file, its address, the requests)."""
    (tmp_path / "files").mkdir()
    file = tmp_path / "files" / NAME
    file.write_bytes(CONTENTS)
    with fake_archives.served(file.parent) as (base, requests):
        yield file, base, requests


def test_the_file_is_the_one_that_torchvision_states():
    program = """
import json
from torchvision.models import AlexNet_Weights
weights = AlexNet_Weights.IMAGENET1K_V1
print(json.dumps([weights.url, weights.meta]))
"""
    url, meta = json.loads(run_warm("torch", "-c", program).stdout)
    assert url.endswith(f"/{tool.FILE}") and f"-{tool.SHA256}." in tool.FILE
    assert meta["_metrics"]["ImageNet-1K"] == {"acc@1": tool.TOP1, "acc@5": tool.TOP5}
    assert len(meta["categories"]) == tool.CLASSES


def test_it_is_fetched_once(server, tmp_path):
    _, base, requests = server
    folder = tmp_path / "data" / "weights"
    done = fetch(base, folder, python=sys.executable)
    assert (done.returncode, done.stderr) == (0, "")
    assert (folder / NAME).read_bytes() == CONTENTS
    assert left(folder) == {NAME}
    requests.clear()
    assert fetch(base, folder).returncode == 0
    assert not requests


def test_half_a_file_of_an_interrupted_call_is_not_taken(server, tmp_path):
    coming = tmp_path / "weights" / ".coming" / NAME
    coming.parent.mkdir(parents=True)
    coming.write_bytes(CONTENTS[:1000])
    assert_success(fetch(server[1], tmp_path / "weights"))
    assert (tmp_path / "weights" / NAME).read_bytes() == CONTENTS
    assert left(tmp_path / "weights") == {NAME}


def test_a_download_with_a_wrong_checksum_is_not_kept(server, tmp_path):
    file, base, _ = server
    file.write_bytes(CONTENTS[:-1] + b"!")
    done = fetch(base, tmp_path / "weights")
    assert_user_error(done, "does not have the right checksum", f"put {NAME} into")
    assert left(tmp_path / "weights") == set()


def test_a_full_disk_keeps_nothing(server, tmp_path):
    full = "import os\ndef fail(*_): raise OSError(28, 'No space left')\nos.replace = fail\n"
    assert_user_error(fetch(server[1], tmp_path / "weights", PATCH + full), "No space left")
    assert left(tmp_path / "weights") == set()


@pytest.mark.parametrize("answers", [False, True], ids=["closed", "stalled"])
def test_without_a_server_it_says_what_to_put_where(answers, tmp_path):
    folder = tmp_path / "weights"
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it takes a call and says nothing
        base = f"http://127.0.0.1:{silent.getsockname()[1]}/" if answers else CLOSED
        done = fetch(base, folder, PATCH + STALL)
    why = "timed out" if answers else "Connection refused"
    assert_user_error(done, why, f"put {NAME} into {folder} by hand")
    assert left(folder) == set()
    (folder / NAME).write_bytes(CONTENTS)
    assert fetch(CLOSED, folder).returncode == 0


def test_a_damaged_file_that_was_put_there_is_named_and_left(tmp_path):
    (tmp_path / NAME).write_bytes(CONTENTS[:1000])
    done = fetch(CLOSED, tmp_path)
    assert_user_error(done, str(tmp_path / NAME), "its SHA-256 is not", "replace it, or delete it")
    assert (tmp_path / NAME).read_bytes() == CONTENTS[:1000]


@pytest.fixture(scope="module")
def imagenet(tmp_path_factory):
    """A folder with val alone: three classes of four images."""
    folder = helpers.make_folder(tmp_path_factory.mktemp("imagenet"))
    shutil.rmtree(folder / "train")
    return folder


@pytest.fixture
def published(small_run, imagenet, tmp_path, monkeypatch, capfd):
    """A function that runs the tool on small trees, with a small run's weights as the published."""
    _, tree, run_folder = small_run
    weights = tmp_path / "data" / "weights" / "best.pth"
    weights.parent.mkdir(parents=True)
    shutil.copy(run_folder / "best.pth", weights)
    trees = {"torch": tree, "paddle": copy_tree("paddle", tmp_path / "AlexNet-paddle", SMALL)}
    changes = {"WEIGHTS": weights.parent, "FILE": weights.name, "CLASSES": 3, "IMAGES": 12}
    changes["SHA256"] = hashlib.sha256(weights.read_bytes()).hexdigest()[:8]

    def call(*options, **more):
        for name, value in (changes | more).items():
            monkeypatch.setattr(tool, name, value)
        words = ["--data-path", imagenet, "--workers", 0, "--device", "cpu"]
        words += [f"--{name}-tree={path}" for name, path in trees.items()]
        status = tool.main([str(word) for word in [*words, *options]])
        assert {path.name for path in weights.parent.iterdir()} == {weights.name}
        return status, capfd.readouterr().out

    call.trees, call.weights = trees, weights
    return call


def accuracies(printed, name):
    """Return the top-1 and top-5 that the table gives a framework."""
    return [float(word) for word in re.findall(rf"^{name} +top-\d +(\S+)", printed, re.MULTILINE)]


on_torch = pytest.mark.parametrize("small_run", ["torch"], indirect=True)


@on_torch
def test_both_frameworks_say_the_same_of_other_images(published):
    status, printed = published(IMAGES=50_000)
    assert status == 0, printed
    assert "the published figures are of 50,000 images and here are 12" in printed
    assert "within one image of PyTorch everywhere" in printed
    (row,) = re.findall(r"^PaddlePaddle +top-1.*", printed, re.MULTILINE)
    assert row.split()[4:] == ["+0.000", "+0"]


@on_torch
def test_the_published_figures_are_held_against(published):
    """Of a file that is named, and of the one in data/weights, which nobody fetches then."""
    status, printed = published("--frameworks", "torch", TOP1=100.0, TOP5=100.0)
    assert status == 1
    assert "more than one image from published: PyTorch's top-1. Are the class" in printed
    top1, top5 = accuracies(printed, "PyTorch")
    assert 0 < top1 < 80 and top5 == 100
    elsewhere = published.weights.parent.parent / "copy.pth"
    shutil.copy(published.weights, elsewhere)
    options = ["--frameworks", "torch", "--weights", elsewhere, "--batch-size", 5]
    status, printed = published(*options, TOP1=top1 + 8, TOP5=top5)
    assert status == 0, printed
    assert accuracies(printed, "PyTorch") == [top1, top5]


@on_torch
def test_a_framework_that_says_something_else_is_named(published):
    plant(published.trees["paddle"], [Edit("k=1", "k=2", "EvaluationMeter")])
    status, printed = published("--weights", published.weights, SHA256="00000000")
    assert status == 1, printed
    assert "is not torchvision's" in printed
    assert "more than one image from PyTorch: PaddlePaddle's top-1." in printed


def test_a_framework_alone_needs_the_published_figures(tmp_path, imagenet, monkeypatch):
    weights = tmp_path / "mine.pth"
    weights.write_bytes(b"x")
    monkeypatch.setattr(tool, "CLASSES", 3)
    words = ["--data-path", imagenet, "--weights", weights, "--frameworks", "paddle"]
    with pytest.raises(tool.UserError, match=r"mine.pth is not torchvision's .*name both"):
        tool.main([str(word) for word in words])


def test_25_of_the_50000_images_may_be_others(capsys):
    expected = tool.Accuracy("published", tool.TOP1, tool.TOP5)
    per_cent = tool.IMAGES / 100
    assert [round(share * per_cent) for share in expected[1:]] == [28261, 39533]
    tops = [(28261 - off) / per_cent for off in (25, 26)]
    near, far = (tool.Accuracy("PyTorch", top1, 39533 / per_cent) for top1 in tops)
    assert tool.report([near], expected, tool.IMAGES) == 0
    assert "-0.050       -25" in capsys.readouterr().out
    assert tool.report([near, far], expected, tool.IMAGES) == 1
    assert "more than 25 images from published: PyTorch's top-1." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "--data-path"),
        (["--data-path", "/nowhere"], "/nowhere/val: there is no such folder"),
        (["--data-path", "{imagenet}"], "3 classes where the weights know 1000"),
        (["--data-path", "{imagenet}", "--weights", "no.pth"], "--weights no.pth: there is no"),
        (["--data-path", "{imagenet}", "--frameworks", "jax"], "invalid choice: 'jax'"),
        (["--data-path", "{imagenet}", "--paddle-tree", "no"], "--paddle-tree no: has no train.py"),
    ],
)
def test_a_mistake_is_one_line(options, words, imagenet):
    options = [word.format(imagenet=imagenet) for word in options]
    assert_user_error(call_main("tools.evaluate_published", *options), words)


def test_without_a_network_the_tool_ends_in_one_line(imagenet, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(tool, "CLASSES", 3)
    monkeypatch.setattr(tool, "WEIGHTS", tmp_path / "weights")
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setitem(os.environ, name, CLOSED)
    monkeypatch.setitem(os.environ, "no_proxy", "")
    done = call_main("experiments.evaluate_published", "--data-path", imagenet)
    (line,) = capfd.readouterr().err.splitlines()  # said by the program that fetches
    assert done.returncode == 2
    assert line.endswith(f"put {tool.FILE} into {tmp_path / 'weights'} by hand")
