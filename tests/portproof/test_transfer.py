"""tools/transfer_weights.py: every bit arrives, and nothing else is ever left behind."""

import contextlib
import itertools
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import types

import numpy as np
import pytest

from common.paths import ROOT
from portproof.cli.transfer import check_paths
from portproof.files import pickles
from portproof.system.errors import UserError
from portproof.weights import tensors
from portproof.weights.tensors import Tensor
from tests.portproof.hostile import FORMS, hostile, pickled
from tests.support import helpers
from tests.support import network_pairs as pairs
from tests.support.helpers import FRAMEWORKS, SUFFIX, assert_success, assert_user_error, call_main

TOOL = ROOT / "tools" / "transfer_weights.py"
SHAPES = {
    "0.weight": (8, 3, 3, 3),
    **dict.fromkeys(["1.weight", "1.bias", "1.running_mean", "1.running_var"], (8,)),
    "3.weight": (8, 4, 3, 3), "3.bias": (8,), "6.weight": (32, 32), "6.bias": (32,),
    "8.weight": (4, 32), "8.bias": (4,),
}  # fmt: skip
COUNT = "1.num_batches_tracked"
BITS = {"F64": np.uint64, "F32": np.uint32, "F16": np.uint16, "BF16": np.uint16}
KINDS = [".pth", ".pdparams", ".safetensors"]
NO_WEIGHTS = [({"0.weight": np.zeros(3, np.complex64)}, "complex64")]
NO_WEIGHTS += [([1, 2], "no weights by name"), ({"0.weight": "text"}, "0.weight is no tensor")]
LIES = [{"data_offsets": [0, 10**12]}, {"data_offsets": [-4, 28]}, {"shape": [2**62, 8]}]
LIES += [{"shape": [9]}, {"dtype": "F64"}, {"dtype": "__import__('os')"}]
LIES += [None]  # of the header's length
MISFITS = [
    (lambda weights: weights.pop("3.bias"), ["lacks 3.bias"]),
    (lambda weights: weights.update(more=weights["3.bias"]), ["unknown to the network", "more"]),
    (lambda weights: weights.update({"8.bias": weights["3.bias"]}), ["8.bias", "[8]", "[4]"]),
]

# Quick: the tool runs in this process, and the frameworks' own are kept for all tests.
pytestmark = pytest.mark.usefixtures("kept_probes")


def transfer(*options):
    return call_main("tools.transfer_weights", *options)


def carried(source, target, *options):
    """Carry a file that is to arrive; return the rows of the table."""
    done = assert_success(transfer(source, target, *options, "--force", "--json"))
    return json.loads(done.stdout)["rows"]


def left_behind(folder, *known):
    """Return what lies in a folder, hidden or not, but for what is known to."""
    networks = {"net_torch.py", "net_paddle.py", "__pycache__"}
    return {path.name for path in folder.iterdir()} - networks - {path.name for path in known}


def random_weights(dtypes=("F32",)):
    """Return random bits as numbers: NaN, infinities, denormals. The dtypes take turns."""
    generator = np.random.default_rng(0)
    weights = {}
    for (name, shape), dtype in zip(SHAPES.items(), itertools.cycle(dtypes)):
        kind = np.dtype(tensors.DTYPES[dtype])
        bits = generator.integers(0, 2 ** (8 * kind.itemsize), shape, BITS[dtype])
        bits.flat[0] = np.iinfo(bits.dtype).max  # all bits set: a NaN
        weights[name] = Tensor(dtype, bits.view(kind))
    weights[COUNT] = Tensor("I64", np.array(0))
    return weights


def write_random(folder, change=lambda weights: None):
    """Write random weights, changed; return the file."""
    weights = random_weights()
    change(weights)
    tensors.write(folder / "a.safetensors", weights)
    return folder / "a.safetensors"


def write_floats(path, **arrays):
    """Write a .safetensors file of float32."""
    weights = {name: Tensor("F32", array.astype(np.float32)) for name, array in arrays.items()}
    tensors.write(path, weights)
    return path


def assert_same_bits(weights, others):
    assert weights.keys() == others.keys()
    assert all(weights[name].has_same_bits(others[name]) for name in weights)


@pytest.fixture
def pair(tmp_path):
    return pairs.write(tmp_path)


@pytest.fixture
def source(tmp_path):
    return write_random(tmp_path)


def test_a_round_trip_keeps_every_bit(tmp_path, pair):
    weights = random_weights(tuple(BITS))
    assert {weights[name].dtype for name in ("6.weight", "8.weight")} == {"F32", "BF16"}
    tensors.write(tmp_path / "a.safetensors", weights)
    files = ["a.safetensors", "b.pth", "c.pdparams", "d.pt", "e.safetensors", "f.pdparams"]
    files += ["g.safetensors"]
    for source, target in itertools.pairwise(files):
        done = assert_success(transfer(tmp_path / source, tmp_path / target, *pair))
        assert "every bit the same" in done.stdout
        assert done.stderr.count("NaN or infinite") == len(SHAPES), done.stderr
    for name in ("e.safetensors", "g.safetensors"):
        assert_same_bits(weights, tensors.read(tmp_path / name))
    written = pickles.read(tmp_path / "c.pdparams")
    assert weights["6.weight"].transposed().has_same_bits(tensors.from_array(written["fc1.weight"]))
    assert weights["1.running_var"].has_same_bits(tensors.from_array(written["norm._variance"]))
    assert left_behind(tmp_path) == set(files)


def test_alexnet_has_as_many_classes_as_the_file(tmp_path, run_in_tree):
    """As a user calls it; every file is told from the other by its ending alone."""
    source, target = tmp_path / "a.pth", tmp_path / "b.pdparams"
    program = "import torch; from models import AlexNet; weights = AlexNet(7).state_dict();"
    program += "weights['classifier.4.weight'][5, 6] = 3;"
    run_in_tree("torch", f"{program} torch.save(weights, {str(source)!r})")
    done = assert_success(helpers.run(sys.executable, TOOL, source, target))
    assert "57,032,519 numbers, 3 transposed, 0 left out" in done.stdout
    assert done.stderr == ""
    written = pickles.read(target)
    assert written["classifier.6.weight"].shape == (4096, 7)
    assert written["classifier.4.weight"][6, 5] == 3
    done = transfer(source, tmp_path / "c.pdparams", "--num-classes", 8)
    assert_user_error(done, "classifier.6", "[7", "[8")


# Writes drawn weights, of which no mean, scale or bias is what it starts as, and what they give.
RUN_TORCH = """
import sys
import numpy as np, torch
sys.path.insert(0, sys.argv[1])
from net_torch import Net
network = Net().eval()
for value in network.state_dict().values():
    if value.is_floating_point():
        value.uniform_(0.1, 1)
torch.save(network.state_dict(), sys.argv[2])
np.save(sys.argv[3], network(torch.arange(32).reshape(2, 16) % 6).detach().numpy())
"""
RUN_PADDLE = """
import sys
import numpy as np, paddle
sys.path.insert(0, sys.argv[1])
from net_paddle import Net
network = Net()
network.eval()
missing, unexpected = network.set_state_dict(paddle.load(sys.argv[2]))
assert not missing and not unexpected, (missing, unexpected)
np.save(sys.argv[3], network(paddle.arange(32).reshape([2, 16]) % 6).numpy())
"""


def test_layers_of_many_kinds_compute_the_same_with_what_arrived(tmp_path):
    pair = pairs.write(tmp_path, pairs.TORCH_KINDS, pairs.PADDLE_KINDS, "Net", "1,16")
    pair += ["--input-dtype", "int64"]
    source, target = tmp_path / "a.pth", tmp_path / "b.pdparams"
    outputs = {name: tmp_path / f"{name}.npy" for name in FRAMEWORKS}
    assert_success(helpers.run_warm("torch", "-c", RUN_TORCH, tmp_path, source, outputs["torch"]))
    rows = {row["source"]: row for row in carried(source, target, *pair)}
    turned = [name for name, row in rows.items() if row["action"] == "transposed"]
    assert turned == ["block.square.weight"]
    assert rows["batch.num_batches_tracked"]["action"].startswith("left out")
    assert_success(
        helpers.run_warm("paddle", "-c", RUN_PADDLE, tmp_path, target, outputs["paddle"])
    )
    torch, paddle = (np.load(file) for file in outputs.values())
    assert torch.std() > 1e-3
    np.testing.assert_allclose(torch, paddle, rtol=1e-4, atol=1e-5)
    # Where the names agree, neither network needs to run: it would fail on the default images.
    carried(target, tmp_path / "back.safetensors", *pair[:4])
    carried(source, tmp_path / "same.safetensors", *pair)
    assert_same_bits(*(tensors.read(tmp_path / f"{name}.safetensors") for name in ("back", "same")))


def test_the_counter_of_batch_normalization(tmp_path, pair):
    count = Tensor("I64", np.array(7))
    source = write_random(tmp_path, lambda weights: weights.update({COUNT: count}))
    paddle, back = tmp_path / "b.pdparams", tmp_path / "c.safetensors"
    rows = carried(source, paddle, *pair)
    assert [row["source"] for row in rows if row["target"] is None] == [COUNT]
    rows = carried(paddle, back, *pair)
    made = [(row["target"], row["action"]) for row in rows if row["source"] is None]
    assert made == [(COUNT, "set to 0")]
    assert tensors.read(back)[COUNT].has_same_bits(Tensor("I64", np.array(0)))
    carried(source, tmp_path / "d.pt", *pair)
    carried(tmp_path / "d.pt", back, *pair)
    assert tensors.read(back)[COUNT].array == 7
    carried(write_random(tmp_path, lambda weights: weights.pop(COUNT)), paddle, *pair)


@pytest.fixture
def tied(tmp_path):
    """A file in which all that may be tied is equal, and the options of the pair."""
    generator = np.random.default_rng(0)
    words, square, bias = (generator.standard_normal(shape) for shape in ((5, 6), (6, 6), 6))
    weights = {"words.weight": words, "head.weight": words}
    for name in ("first", "second"):
        weights |= {f"{name}.weight": square, f"{name}.bias": bias}
    source = write_floats(tmp_path / "a.safetensors", **weights)
    return source, pairs.write(tmp_path, pairs.TORCH_TIED, pairs.PADDLE_TIED, "Net")


def ties(torch, paddle):
    options = ["--torch-args", json.dumps({"tie": torch})]
    return [*options, "--paddle-args", json.dumps({"tie": paddle})]


@pytest.mark.parametrize("both", [(True, True), (True, False), (False, True), (False, False)])
def test_tied_weights_arrive_whoever_ties_them(tmp_path, tied, both):
    source, pair = tied
    target, back = tmp_path / "b.pdparams", tmp_path / "c.safetensors"
    rows = carried(source, target, *pair, *ties(*both))
    assert len(rows) == 6 and all(row["target"] for row in rows)
    written = pickles.read(target)
    assert np.array_equal(written["head.weight"], written["words.weight"].T)
    assert np.array_equal(written["first.weight"], written["second.weight"])
    carried(target, back, *pair, *ties(*both))
    assert_same_bits(tensors.read(source), tensors.read(back))


def test_tied_weights_under_one_name_only(tmp_path, tied):
    source, pair = tied
    kept = {k: v for k, v in tensors.read(source).items() if not k.startswith(("second", "head"))}
    few, target = tmp_path / "few.safetensors", tmp_path / "b.pdparams"
    tensors.write(few, kept)
    carried(few, target, *pair, *ties(True, False))
    written = pickles.read(target)
    assert np.array_equal(written["head.weight"], written["words.weight"].T)
    untied = transfer(few, tmp_path / "c.pdparams", *pair, *ties(False, False))
    assert_user_error(untied, "lacks second.weight")


def test_unequal_numbers_are_not_tied(tmp_path, tied):
    source, pair = tied
    weights = dict(tensors.read(source))
    weights["second.bias"] = Tensor("F32", weights["second.bias"].array + np.float32(1))
    uneven, target = tmp_path / "uneven.safetensors", tmp_path / "b.pdparams"
    tensors.write(uneven, weights)
    words = "first.bias and second.bias"
    for both, framework in (((True, False), "PyTorch"), ((False, True), "PaddlePaddle")):
        done = transfer(uneven, target, *pair, *ties(*both))
        assert_user_error(done, words, framework, "unequal")
    carried(uneven, target, *pair, *ties(False, False))
    done = transfer(target, tmp_path / "c.pth", *pair, *ties(True, False))
    assert_user_error(done, words, "PyTorch")


def test_an_ambiguous_match_is_decided_by_the_user(tmp_path):
    pair = pairs.write(tmp_path, pairs.TORCH_IDLE, pairs.PADDLE_IDLE, "Net", "1,3")
    names = [f"{name}.{role}" for name in ("body", "left", "right") for role in ("weight", "bias")]
    shapes = {"weight": (3, 3), "bias": 3}
    arrays = {name: np.full(shapes[name.split(".")[1]], n) for n, name in enumerate(names)}
    source, target = write_floats(tmp_path / "a.safetensors", **arrays), tmp_path / "b.pdparams"
    assert_user_error(transfer(source, target, *pair), "ambiguous", "left", "one or two", "--map")
    rows = carried(source, target, *pair, "--map", "left=two", "--map", "right=one")
    assert {row["source"]: row["target"] for row in rows}["left.bias"] == "two.bias"
    written = pickles.read(target)
    assert written["two.bias"].tolist() == [3] * 3 and written["one.bias"].tolist() == [5] * 3
    assert written["trunk.bias"].tolist() == [1] * 3
    assert_user_error(transfer(source, target, *pair, "--force", "--map", "left=no"), "'no'")


UNKNOWN = {  # networks, shapes of the layer's tensors, words of the error
    "attention": (
        (pairs.TORCH_ATTENTION, pairs.PADDLE_ATTENTION, "Net", "1,2,4"),
        {"in_proj_weight": (12, 4), "in_proj_bias": 12}
        | {"out_proj.weight": (4, 4), "out_proj.bias": 4},
        ["attention (MultiheadAttention", "in one tensor"]),
    "fc": (  # a user's own layer
        (pairs.TORCH_OWN, pairs.PADDLE_OWN, "Net", "1,3"),
        {"weight": (3, 3), "bias": 3}, ["fc.weight", "not known"]),
}  # fmt: skip


@pytest.mark.parametrize("layer", UNKNOWN)
def test_a_layout_is_not_guessed(tmp_path, layer):
    networks, shapes, words = UNKNOWN[layer]
    weights = {f"{layer}.{name}": np.ones(shape) for name, shape in shapes.items()}
    source = write_floats(tmp_path / "a.safetensors", **weights)
    done = transfer(source, tmp_path / "b.pdparams", *pairs.write(tmp_path, *networks))
    assert_user_error(done, *words)


CHECKPOINT = """
import sys
import checkpoint, ema, {framework}
from pathlib import Path
from types import SimpleNamespace
from portproof.backends import choose
from portproof.worker.port_file import make_network
folder = sys.argv[1]
choose("{framework}")
model = make_network(folder + "/net_{framework}.py:{name}", {{}})
{optimizer}
model({framework}.rand([2, 3, 16, 16])).sum().backward()
optimizer.step()
state = dict(model=model, optimizer=optimizer, scheduler=scheduler, ema=ema.ModelEMA(model, 0.9))
trainer = SimpleNamespace(**state, scaler={framework}.amp.GradScaler({disabled}))
checkpoint.save(Path(folder + "/last{suffix}"), checkpoint.pack(trainer))
{framework}.save(model.state_dict(), folder + "/plain{suffix}", {oldest})
"""
OWN = {  # of each framework; `oldest`: the oldest form in which it writes weights
    "torch": {
        "name": "net", "disabled": "'cpu', enabled=False",
        "oldest": "_use_new_zipfile_serialization=False",
        "optimizer": "optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)\n"
        "scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)"},
    "paddle": {
        "name": "Net", "disabled": "enable=False", "oldest": "protocol=2",
        "optimizer": "scheduler = paddle.optimizer.lr.StepDecay(0.1, 1)\n"
        "optimizer = paddle.optimizer.Momentum(scheduler, parameters=model.parameters())"},
}  # fmt: skip


def test_the_model_of_a_checkpoint_is_taken(tmp_path, pair, framework):
    """The same as the plain weights, in the oldest form, that lie beside it."""
    tree, suffix = ROOT / f"AlexNet-{framework}", SUFFIX[framework]
    program = CHECKPOINT.format(framework=framework, suffix=suffix, **OWN[framework])
    assert_success(helpers.run_warm(framework, "-c", program, tmp_path, PYTHONPATH=str(tree)))
    weights = []
    for stem in ("last", "plain"):
        target = tmp_path / f"{stem}.safetensors"
        carried(tmp_path / f"{stem}{suffix}", target, *pair)
        weights.append(tensors.read(target))
    assert_same_bits(*weights)
    assert len(weights[0]) == len(SHAPES) + 1


@pytest.mark.parametrize(("change", "words"), MISFITS)
def test_keys_and_shapes_that_do_not_fit_are_named(tmp_path, pair, change, words):
    source = write_random(tmp_path, change)
    assert_user_error(transfer(source, tmp_path / "b.pdparams", *pair), *words)
    assert left_behind(tmp_path, source) == set()


def test_networks_that_do_not_fit_are_named(tmp_path, source):
    gained = pairs.PADDLE.replace("3, 8, 3, bias_attr=False", "3, 8, 3")
    options = pairs.write(tmp_path, paddle=gained)
    assert_user_error(transfer(source, tmp_path / "b.pdparams", *options), "stem.bias", "bias_attr")
    options = pairs.write(tmp_path, torch=pairs.TORCH.replace("net(", "other("))
    assert_user_error(transfer(source, tmp_path / "b.pdparams", *options), "no network")


def test_an_existing_target_stays(tmp_path, pair, source):
    target = tmp_path / "b.pdparams"
    target.write_text("mine")
    assert_user_error(transfer(source, target, *pair), "exists", "--force")
    assert target.read_text() == "mine"
    (tmp_path / "c.pdparams").symlink_to("nowhere")
    assert_user_error(transfer(source, tmp_path / "c.pdparams", *pair), "exists", "--force")
    report = json.loads(assert_success(transfer(source, target, *pair, "--force", "--json")).stdout)
    assert report.keys() == {"source", "target", "rows", "totals", "warnings", "verified"}
    assert (report["source"], report["target"]) == (str(source), str(target))
    assert report["rows"][0].keys() == {"source", "target", "shape", "action"}
    elements = sum(int(np.prod(shape)) for shape in SHAPES.values())
    totals = {"tensors": len(SHAPES), "elements": elements, "bytes": 4 * elements}
    assert report["totals"] == totals | {"transposed": 2, "left_out": 1}
    assert len(report["warnings"]) == len(SHAPES) and report["verified"] is True
    assert set(pickles.read(target)) >= {"stem.weight", "norm._mean", "fc2.bias"}


def test_bits_that_are_lost_in_writing_are_seen(tmp_path, pair, source, monkeypatch):
    write = pickles.write

    def with_a_fault(path, arrays):
        write(path, arrays)
        contents = bytearray(path.read_bytes())
        contents[contents.index(arrays["fc1.bias"].tobytes())] ^= 1
        path.write_bytes(contents)

    monkeypatch.setattr(pickles, "write", with_a_fault)
    done = transfer(source, tmp_path / "b.pdparams", *pair)
    assert_user_error(done, "fc1.bias came back with other bits")
    assert left_behind(tmp_path, source) == set()


def test_these_pickles_would_run_if_they_were_let(tmp_path):
    """Else the next test would show nothing."""
    mark = tmp_path / "it-ran"
    for name, value in hostile(mark).items():
        for protocol in (0, 2, 4):
            with contextlib.suppress(Exception):
                pickle.loads(pickled({"0.weight": value}, protocol))
            # Protocols before 4 take a dotted name for one name.
            assert mark.exists() or (name == "dotted" and protocol < 4), (name, protocol)
            mark.unlink(missing_ok=True)


@pytest.mark.parametrize("form", FORMS)
def test_a_file_that_carries_code_is_refused(tmp_path, pair, form):
    protocol, wrap = FORMS[form]
    for name, value in hostile(tmp_path / "it-ran").items():
        source = tmp_path / f"{name}-{form}"
        for contents in (value, {"0.weight": value}, {"model": {"0.weight": [{"a": (value,)}]}}):
            source.write_bytes(wrap(pickled(contents, protocol)))
            done = transfer(source, tmp_path / "b.safetensors", *pair)
            assert_user_error(done, source.name, "could run code")
        source.unlink()
    assert left_behind(tmp_path) == set()


@pytest.mark.parametrize("lie", LIES)
def test_safetensors_that_lie_about_their_size_are_refused(tmp_path, pair, source, lie):
    whole = source.read_bytes()
    length = int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8 : 8 + length])
    header["6.bias"] |= lie or {}
    encoded = json.dumps(header).encode()
    claimed = len(encoded) if lie else 2**63 - 1
    source.write_bytes(claimed.to_bytes(8, "little") + encoded + whole[8 + length :])
    done = transfer(source, tmp_path / "b.pdparams", *pair)
    assert_user_error(done, source.name, "cannot be loaded")


@pytest.mark.parametrize("ending", KINDS)
def test_a_damaged_file_is_refused(tmp_path, pair, source, ending):
    if ending != ".safetensors":
        carried(source, tmp_path / f"whole{ending}", *pair)
        source = tmp_path / f"whole{ending}"
    cut, target = tmp_path / f"cut{ending}", tmp_path / "b.pdparams"
    contents = source.read_bytes()
    for damaged in (contents[:-200], contents[:1000], b"", b"<html>not found</html>"):
        cut.write_bytes(damaged)
        assert_user_error(transfer(cut, target, *pair), cut.name)
    assert not target.exists()


def test_a_bit_that_flipped_on_the_disk_is_seen(tmp_path, pair, source):
    """Only .pth files hold a sum to check them by."""
    file, weight = tmp_path / "b.pth", random_weights()["3.weight"]
    carried(source, file, *pair)
    contents = bytearray(file.read_bytes())
    contents[contents.index(weight.array.tobytes()) + 100] ^= 1
    file.write_bytes(contents)
    assert_user_error(transfer(file, tmp_path / "c.pdparams", *pair), "b.pth", "damaged")


@pytest.mark.parametrize(("ending", "other"), [*itertools.permutations(KINDS, 2)])
def test_a_file_of_another_kind_is_refused(tmp_path, pair, source, ending, other):
    real, named = tmp_path / f"real{other}", tmp_path / f"named{ending}"
    carried(source, real, *pair)
    real.rename(named)
    assert_user_error(transfer(named, tmp_path / "b.safetensors", *pair), named.name, "kind")


@pytest.mark.parametrize(("contents", "words"), NO_WEIGHTS)
def test_what_is_no_weights_is_refused(tmp_path, pair, contents, words):
    file = tmp_path / "a.pdparams"
    file.write_bytes(pickle.dumps(contents))
    assert_user_error(transfer(file, tmp_path / "b.safetensors", *pair), words)


def test_what_may_not_be_read_or_written_is_named(tmp_path, source, monkeypatch):
    """By what os.access says, which lets root do all."""
    for forbidden, words in (((source, os.R_OK), "read"), ((tmp_path, os.W_OK), "written to")):
        monkeypatch.setattr(os, "access", lambda *access: access != forbidden)  # noqa: B023
        with pytest.raises(UserError, match=words):
            check_paths(source, tmp_path / "b.pth", force=False)


# Limits and signals reach what the tool itself starts, and not a process that another forks. Of its
# workers PyTorch's writes files, and Paddle's none.
OWN_WORKER = {"TORCH_PYTHON": sys.executable}


@pytest.mark.parametrize("target", ["b.pth", "b.pdparams", "b.safetensors"])
def test_a_full_disk_leaves_nothing_behind(tmp_path, target):
    """A limit on the size of files stands for it: writing fails half-way just so."""
    pair = pairs.write(tmp_path)
    weights = random_weights()
    weights["8.weight"] = Tensor("F32", np.zeros((9999, 32), np.float32))
    weights["8.bias"] = Tensor("F32", np.zeros(9999, np.float32))
    source = tmp_path / "a.safetensors"
    tensors.write(source, weights)
    # For a .pth, the file that torch is given just fits and what torch writes does not.
    limit = source.stat().st_size // 1024 + 1 if target == "b.pth" else 200
    tool = [sys.executable, TOOL, source, tmp_path / target, *pair, "--num-classes", 9999]
    environment = OWN_WORKER if target == "b.pth" else {}
    done = helpers.run("bash", "-c", f'ulimit -f {limit}; exec "$@"', "bash", *tool, **environment)
    assert_user_error(done, target, "cannot be written (File too large)")
    assert left_behind(tmp_path, source) == set()


def test_a_disk_without_room_is_named(tmp_path, pair, source, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: types.SimpleNamespace(free=100))
    assert_user_error(transfer(source, tmp_path / "b.pth", *pair), "MB are free")
    assert left_behind(tmp_path, source) == set()


SLOW = """
import os, pathlib, time

def net():
    pathlib.Path(__file__).with_name("started").write_text(str(os.getpid()))
    time.sleep(60)
"""


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_run_leaves_nothing_behind(tmp_path, source, number, status):
    pair = pairs.write(tmp_path, torch=SLOW)
    command = [sys.executable, TOOL, source, tmp_path / "b.pdparams", *pair]
    streams = {"stderr": subprocess.PIPE, "env": os.environ | OWN_WORKER}
    process, started = helpers.start(*command, **streams), tmp_path / "started"
    helpers.wait_until(lambda: started.exists() and started.read_text(), process)
    process.send_signal(number)
    _, said = process.communicate(timeout=20)
    assert process.returncode == status and "Traceback" not in said
    worker = int(started.read_text())
    helpers.wait_until(lambda: not helpers.is_running(worker))
    assert left_behind(tmp_path, source, started) == set()
