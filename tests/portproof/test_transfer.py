"""tools/transfer_weights.py: every bit arrives, and nothing else is ever left behind.

Most tests call the tool in this process and keep the frameworks' processes running, which is quick;
those of signals, limits and output start it as a user does.
"""

import builtins
import contextlib
import io
import itertools
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
import types
import zipfile

import numpy as np
import pytest

from common.paths import ROOT
from portproof.cli.transfer import check_paths
from portproof.files import pickles
from portproof.system import errors
from portproof.system.errors import UserError
from portproof.weights import tensors
from portproof.weights.tensors import Tensor
from tests.support import pairs
from tests.support.helpers import FRAMEWORKS, SUFFIX, assert_user_error, is_running, run, run_warm
from tools import transfer_weights

TOOL = ROOT / "tools" / "transfer_weights.py"
SHAPES = {
    "0.weight": (8, 3, 3, 3),
    "1.weight": (8,),
    "1.bias": (8,),
    "1.running_mean": (8,),
    "1.running_var": (8,),
    "3.weight": (8, 4, 3, 3),
    "3.bias": (8,),
    "6.weight": (32, 32),
    "6.bias": (32,),
    "8.weight": (4, 32),
    "8.bias": (4,),
}
BITS = {"F64": np.uint64, "F32": np.uint32, "F16": np.uint16, "BF16": np.uint16}


pytestmark = pytest.mark.usefixtures("kept_probes")


def transfer(*options):
    """Call the tool in this process; return what a process of its own would have given."""
    argv = [str(word) for word in options]
    stdout, stderr, status = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
        try:
            errors.run(lambda: transfer_weights.main(argv))
        except SystemExit as left:
            status = left.code
    return subprocess.CompletedProcess(argv, status, stdout.getvalue(), stderr.getvalue())


def carried(source, target, *options):
    """Carry a file that is to arrive; return the rows of the table."""
    done = transfer(source, target, *options, "--force", "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["rows"]


def left_behind(folder, *known):
    """Return what lies in a folder, hidden or not, but for what is known to."""
    networks = {"net_torch.py", "net_paddle.py", "__pycache__"}
    return {path.name for path in folder.iterdir()} - networks - {path.name for path in known}


def random_weights(dtypes=("F32",)):
    """Random bits: NaN with any payload, infinities and denormals among them. Dtypes take turns."""
    generator = np.random.default_rng(0)
    found = {}
    for (name, shape), dtype in zip(SHAPES.items(), itertools.cycle(dtypes)):
        kind = np.dtype(tensors.DTYPES[dtype])
        bits = generator.integers(0, 2 ** (8 * kind.itemsize), shape, BITS[dtype])
        bits.flat[0] = np.iinfo(bits.dtype).max  # all bits set: a NaN
        found[name] = Tensor(dtype, bits.view(kind))
    found["1.num_batches_tracked"] = Tensor("I64", np.array(0))
    return found


def spoil(tmp_path, change=lambda weights: None):
    weights = random_weights()
    change(weights)
    tensors.write(tmp_path / "a.safetensors", weights)
    return tmp_path / "a.safetensors"


def write_floats(path, **arrays):
    """Write a .safetensors file of float32."""
    held = {name: Tensor("F32", array.astype(np.float32)) for name, array in arrays.items()}
    tensors.write(path, held)
    return path


@pytest.fixture
def pair(tmp_path):
    return pairs.write(tmp_path)


def test_a_round_trip_keeps_every_bit(tmp_path, pair):
    weights = random_weights(tuple(BITS))
    assert {weights[name].dtype for name in ("6.weight", "8.weight")} == {"F32", "BF16"}
    tensors.write(tmp_path / "a.safetensors", weights)
    names = ["a.safetensors", "b.pth", "c.pdparams", "d.pt", "e.safetensors", "f.pdparams"]
    names += ["g.safetensors"]
    for source, target in itertools.pairwise(names):
        done = transfer(tmp_path / source, tmp_path / target, *pair)
        assert done.returncode == 0, done.stderr
        assert "every bit the same" in done.stdout
        assert done.stderr.count("NaN or infinite") == len(SHAPES), done.stderr
    for name in ("e.safetensors", "g.safetensors"):
        back = tensors.read(tmp_path / name)
        assert back.keys() == weights.keys()
        assert all(weights[name].has_same_bits(back[name]) for name in weights)
    written = pickles.read(tmp_path / "c.pdparams")
    square = weights["6.weight"].transposed()
    assert square.has_same_bits(tensors.from_array(written["fc1.weight"]))
    assert weights["1.running_var"].has_same_bits(tensors.from_array(written["norm._variance"]))
    assert left_behind(tmp_path) == set(names)


def test_alexnet_has_as_many_classes_as_the_file(tmp_path):
    """As a user calls it; every file is told from the other by its ending alone."""
    shapes = {
        "features.0": (64, 3, 11, 11),
        "features.3": (192, 64, 5, 5),
        "features.6": (384, 192, 3, 3),
        "features.8": (256, 384, 3, 3),
        "features.10": (256, 256, 3, 3),
        "classifier.1": (4096, 9216),
        "classifier.4": (4096, 4096),
        "classifier.6": (7, 4096),
    }
    weights = {f"{name}.weight": np.zeros(shape) for name, shape in shapes.items()}
    weights |= {f"{name}.bias": np.ones(shape[0]) for name, shape in shapes.items()}
    weights["classifier.4.weight"][5, 6] = 3
    source = write_floats(tmp_path / "a.safetensors", **weights)
    done = run(sys.executable, TOOL, source, tmp_path / "b.pdparams")
    assert done.returncode == 0, done.stderr
    assert "57,032,519 numbers, 3 transposed, 0 left out" in done.stdout
    assert done.stderr == ""
    written = pickles.read(tmp_path / "b.pdparams")
    assert written["classifier.6.weight"].shape == (4096, 7)
    assert written["classifier.4.weight"][6, 5] == 3
    assert_user_error(
        transfer(source, tmp_path / "c.pdparams", "--num-classes", 8), "classifier.6", "[7", "[8"
    )


RUN_TORCH = """
import sys
import numpy as np, torch
sys.path.insert(0, sys.argv[1])
from net_torch import Net
network = Net().eval()
if sys.argv[2] == "draw":
    torch.manual_seed(0)
    for value in network.state_dict().values():
        if value.is_floating_point():
            value.uniform_(0.1, 1)  # no mean, scale or bias is what it starts as
    torch.save(network.state_dict(), sys.argv[3])
network.load_state_dict(torch.load(sys.argv[3], weights_only=True))
words = torch.arange(32).reshape(2, 16) % 6
np.save(sys.argv[4], network(words).detach().numpy())
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
words = paddle.arange(32).reshape([2, 16]) % 6
np.save(sys.argv[3], network(words).numpy())
"""


def test_layers_of_many_kinds_compute_the_same_with_what_arrived(tmp_path):
    pair = pairs.write(tmp_path, pairs.TORCH_KINDS, pairs.PADDLE_KINDS, "Net", "1,16")
    pair += ["--input-dtype", "int64"]
    source, target = tmp_path / "a.pth", tmp_path / "b.pdparams"
    outputs = {name: tmp_path / f"{name}.npy" for name in FRAMEWORKS}
    done = run_warm("torch", "-c", RUN_TORCH, tmp_path, "draw", source, outputs["torch"])
    assert done.returncode == 0, done.stderr
    rows = {row["source"]: row for row in carried(source, target, *pair)}
    turned = [name for name, row in rows.items() if row["action"] == "transposed"]
    assert turned == ["block.square.weight"]
    assert rows["batch.num_batches_tracked"]["action"].startswith("left out")
    done = run_warm("paddle", "-c", RUN_PADDLE, tmp_path, target, outputs["paddle"])
    assert done.returncode == 0, done.stderr
    torch, paddle = (np.load(file) for file in outputs.values())
    assert torch.std() > 1e-3
    np.testing.assert_allclose(torch, paddle, rtol=1e-4, atol=1e-5)
    # Where the names agree, neither network needs to run: it would fail on the default images.
    carried(target, tmp_path / "back.safetensors", *pair[:4])
    carried(source, tmp_path / "same.safetensors", *pair)
    back, same = (tensors.read(tmp_path / f"{name}.safetensors") for name in ("back", "same"))
    assert back.keys() == same.keys()
    assert all(back[name].has_same_bits(same[name]) for name in back)


def test_the_counter_of_batch_normalization(tmp_path, pair):
    count = Tensor("I64", np.array(7))
    source = spoil(tmp_path, lambda weights: weights.update({"1.num_batches_tracked": count}))
    rows = carried(source, tmp_path / "b.pdparams", *pair)
    left_out = [row for row in rows if row["target"] is None]
    assert [row["source"] for row in left_out] == ["1.num_batches_tracked"]
    rows = carried(tmp_path / "b.pdparams", tmp_path / "c.safetensors", *pair)
    made = [row for row in rows if row["source"] is None]
    assert [(row["target"], row["action"]) for row in made] == [
        ("1.num_batches_tracked", "set to 0")
    ]
    back = tensors.read(tmp_path / "c.safetensors")
    assert back["1.num_batches_tracked"].has_same_bits(Tensor("I64", np.array(0)))
    carried(source, tmp_path / "d.pt", *pair)
    carried(tmp_path / "d.pt", tmp_path / "e.safetensors", *pair)
    assert tensors.read(tmp_path / "e.safetensors")["1.num_batches_tracked"].array == 7
    old = spoil(tmp_path, lambda weights: weights.pop("1.num_batches_tracked"))
    carried(old, tmp_path / "f.pdparams", *pair)


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
    weights, again = tensors.read(source), tensors.read(back)
    assert weights.keys() == again.keys()
    assert all(weights[name].has_same_bits(again[name]) for name in weights)


def test_tied_weights_under_one_name_only(tmp_path, tied):
    source, pair = tied
    kept = {k: v for k, v in tensors.read(source).items() if not k.startswith(("second", "head"))}
    tensors.write(tmp_path / "few.safetensors", kept)
    carried(tmp_path / "few.safetensors", tmp_path / "b.pdparams", *pair, *ties(True, False))
    written = pickles.read(tmp_path / "b.pdparams")
    assert np.array_equal(written["head.weight"], written["words.weight"].T)
    untied = transfer(
        tmp_path / "few.safetensors", tmp_path / "c.pdparams", *pair, *ties(False, False)
    )
    assert_user_error(untied, "lacks second.weight")


def test_unequal_numbers_are_not_tied(tmp_path, tied):
    source, pair = tied
    weights = dict(tensors.read(source))
    weights["second.bias"] = Tensor("F32", weights["second.bias"].array + np.float32(1))
    tensors.write(tmp_path / "uneven.safetensors", weights)
    source, target = tmp_path / "uneven.safetensors", tmp_path / "b.pdparams"
    for both, framework in (((True, False), "PyTorch"), ((False, True), "PaddlePaddle")):
        done = transfer(source, target, *pair, *ties(*both))
        assert_user_error(done, "first.bias and second.bias", framework, "unequal")
    carried(source, target, *pair, *ties(False, False))
    done = transfer(target, tmp_path / "c.pth", *pair, *ties(True, False))
    assert_user_error(done, "first.bias and second.bias", "PyTorch")


def test_an_ambiguous_match_is_decided_by_the_user(tmp_path):
    pair = pairs.write(tmp_path, pairs.TORCH_IDLE, pairs.PADDLE_IDLE, "Net", "1,3")
    names = [f"{name}.{role}" for name in ("body", "left", "right") for role in ("weight", "bias")]
    arrays = {
        name: np.full((3, 3) if "weight" in name else 3, number)
        for number, name in enumerate(names)
    }
    source, target = write_floats(tmp_path / "a.safetensors", **arrays), tmp_path / "b.pdparams"
    assert_user_error(transfer(source, target, *pair), "ambiguous", "left", "one or two", "--map")
    rows = carried(source, target, *pair, "--map", "left=two", "--map", "right=one")
    assert {row["source"]: row["target"] for row in rows}["left.bias"] == "two.bias"
    written = pickles.read(target)
    assert written["two.bias"].tolist() == [3] * 3 and written["one.bias"].tolist() == [5] * 3
    assert written["trunk.bias"].tolist() == [1] * 3
    assert_user_error(transfer(source, target, *pair, "--force", "--map", "left=no"), "'no'")


def test_attention_ends_with_clear_words(tmp_path):
    pair = pairs.write(tmp_path, pairs.TORCH_ATTENTION, pairs.PADDLE_ATTENTION, "Net", "1,2,4")
    weights = {
        "attention.in_proj_weight": np.ones((12, 4)),
        "attention.in_proj_bias": np.ones(12),
        "attention.out_proj.weight": np.ones((4, 4)),
        "attention.out_proj.bias": np.ones(4),
    }
    source = write_floats(tmp_path / "a.safetensors", **weights)
    done = transfer(source, tmp_path / "b.pdparams", *pair)
    assert_user_error(done, "attention (MultiheadAttention", "in one tensor")


def test_the_layout_of_a_users_own_layer_is_not_guessed(tmp_path):
    pair = pairs.write(tmp_path, pairs.TORCH_OWN, pairs.PADDLE_OWN, "Net", "1,3")
    arrays = {"fc.weight": np.ones((3, 3)), "fc.bias": np.ones(3)}
    source = write_floats(tmp_path / "a.safetensors", **arrays)
    assert_user_error(transfer(source, tmp_path / "b.pdparams", *pair), "fc.weight", "not known")


CHECKPOINT = {
    "torch": """
import sys
import torch
import checkpoint, ema
from types import SimpleNamespace
from portproof.worker.port_file import make_network
torch.manual_seed(0)
from portproof.backends import torch as backend
model = make_network(sys.argv[1] + "/net_torch.py:net", {}, backend)
optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
model(torch.rand(2, 3, 16, 16)).sum().backward()
optimizer.step()
scaler = torch.amp.GradScaler("cpu", enabled=False)
trainer = SimpleNamespace(
    model=model, optimizer=optimizer, scheduler=scheduler, scaler=scaler,
    ema=ema.ModelEMA(model, 0.9),
)
contents = checkpoint.pack(trainer)
checkpoint.save(checkpoint.Path(sys.argv[1] + "/last.pth"), contents)
torch.save(model.state_dict(), sys.argv[1] + "/plain.pth", _use_new_zipfile_serialization=False)
""",
    "paddle": """
import sys
import paddle
import checkpoint, ema
from types import SimpleNamespace
from portproof.worker.port_file import make_network
from portproof.backends import paddle as backend
model = make_network(sys.argv[1] + "/net_paddle.py:Net", {}, backend)
scheduler = paddle.optimizer.lr.StepDecay(0.1, 1)
optimizer = paddle.optimizer.Momentum(scheduler, parameters=model.parameters())
model(paddle.rand([2, 3, 16, 16])).sum().backward()
optimizer.step()
scaler = paddle.amp.GradScaler(enable=False)
trainer = SimpleNamespace(
    model=model, optimizer=optimizer, scheduler=scheduler, scaler=scaler,
    ema=ema.ModelEMA(model, 0.9),
)
contents = checkpoint.pack(trainer)
checkpoint.save(checkpoint.Path(sys.argv[1] + "/last.pdparams"), contents)
paddle.save(model.state_dict(), sys.argv[1] + "/plain.pdparams", protocol=2)
""",
}


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_the_model_of_a_checkpoint_is_taken(tmp_path, pair, framework):
    """Beside it lie the same weights alone, in the oldest form that the framework writes."""
    tree = ROOT / f"AlexNet-{framework}"
    done = run_warm(framework, "-c", CHECKPOINT[framework], tmp_path, PYTHONPATH=str(tree))
    assert done.returncode == 0, done.stderr
    found = []
    for stem in ("last", "plain"):
        target = tmp_path / f"{stem}.safetensors"
        carried(tmp_path / f"{stem}{SUFFIX[framework]}", target, *pair)
        found.append(tensors.read(target))
    assert len(found[0]) == len(SHAPES) + 1 and found[0].keys() == found[1].keys()
    assert all(found[0][name].has_same_bits(found[1][name]) for name in found[0])


def test_keys_and_shapes_that_do_not_fit_are_named(tmp_path, pair):
    target = tmp_path / "b.pdparams"
    source = spoil(tmp_path, lambda weights: weights.pop("3.bias"))
    assert_user_error(transfer(source, target, *pair), "lacks 3.bias")
    source = spoil(tmp_path, lambda weights: weights.update(more=weights["3.bias"]))
    assert_user_error(transfer(source, target, *pair), "unknown to the network", "more")
    source = spoil(tmp_path, lambda weights: weights.update({"8.bias": weights["3.bias"]}))
    assert_user_error(transfer(source, target, *pair), "8.bias", "[8]", "[4]")
    assert left_behind(tmp_path, source) == set()


def test_networks_that_do_not_fit_are_named(tmp_path):
    gained = pairs.PADDLE.replace("3, 8, 3, bias_attr=False", "3, 8, 3")
    options = pairs.write(tmp_path, paddle=gained)
    done = transfer(spoil(tmp_path), tmp_path / "b.pdparams", *options)
    assert_user_error(done, "stem.bias", "bias_attr")
    options = pairs.write(tmp_path, torch=pairs.TORCH.replace("net(", "other("))
    assert_user_error(transfer(spoil(tmp_path), tmp_path / "b.pdparams", *options), "no network")


def test_an_existing_target_stays(tmp_path, pair):
    source, target = spoil(tmp_path), tmp_path / "b.pdparams"
    target.write_text("mine")
    assert_user_error(transfer(source, target, *pair), "exists", "--force")
    assert target.read_text() == "mine"
    (tmp_path / "c.pdparams").symlink_to("nowhere")
    assert_user_error(transfer(source, tmp_path / "c.pdparams", *pair), "exists", "--force")
    done = transfer(source, target, *pair, "--force", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found.keys() == {"source", "target", "rows", "totals", "warnings", "verified"}
    assert (found["source"], found["target"]) == (str(source), str(target))
    assert found["rows"][0].keys() == {"source", "target", "shape", "action"}
    assert found["totals"] == {
        "tensors": len(SHAPES),
        "elements": sum(int(np.prod(shape)) for shape in SHAPES.values()),
        "bytes": 4 * found["totals"]["elements"],
        "transposed": 2,
        "left_out": 1,
    }
    assert len(found["warnings"]) == len(SHAPES) and found["verified"] is True
    assert set(pickles.read(target)) >= {"stem.weight", "norm._mean", "fc2.bias"}


def test_bits_that_are_lost_in_writing_are_seen(tmp_path, pair, monkeypatch):
    source, write = spoil(tmp_path), pickles.write

    def with_a_fault(path, arrays):
        write(path, arrays)
        contents = bytearray(path.read_bytes())
        contents[contents.index(arrays["fc1.bias"].tobytes())] ^= 1
        path.write_bytes(contents)

    monkeypatch.setattr(pickles, "write", with_a_fault)
    done = transfer(source, tmp_path / "b.pdparams", *pair)
    assert_user_error(done, "fc1.bias came back with other bits")
    assert left_behind(tmp_path, source) == set()


class Call:
    """Pickles as a call of a function with arguments."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


class Named:
    """Pickles as whatever a module has under a name, which need not be a part of it."""

    def __init__(self, module, name):
        self.module, self.name = module, name


class HostilePickler(pickle._Pickler):
    def save(self, value, save_persistent_id=True):
        if not isinstance(value, Named):
            return super().save(value, save_persistent_id)
        if self.proto < 4:
            return self.write(f"c{value.module}\n{value.name}\n".encode())
        super().save(value.module)
        super().save(value.name)
        return self.write(pickle.STACK_GLOBAL)

    def save_reduce(self, function, arguments, *rest, **options):
        self.save(function)
        self.save(arguments)
        self.write(pickle.REDUCE)


def hostile(mark):
    """Return values that make the file `mark` where their pickles are loaded without care."""
    touch, openit = f"touch {mark}", f"open({str(mark)!r}, 'w')"
    return {
        "system": Call(os.system, touch),
        "eval": Call(builtins.eval, openit),
        "nested": Call(tuple, [Call(Call(getattr, Call(__import__, "os"), "system"), touch)]),
        "numpy": Call(Named("numpy.testing._private.utils", "runstring"), openit, {}),
        "dotted": Call(Named("numpy", "testing._private.utils.os.system"), touch),
    }


def pickled(value, protocol):
    file = io.BytesIO()
    HostilePickler(file, protocol).dump(value)
    return file.getvalue()


def as_zip(contents):
    """Return a .pth of today's form, whose data.pkl is `contents`."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in {"data.pkl": contents, "version": b"3\n", "byteorder": b"little"}.items():
            archive.writestr(f"archive/{name}", data)
    return file.getvalue()


def as_legacy(contents):
    """Return a .pth as torch wrote it before 1.6: a magic number, a version, the system, data."""
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}
    before = [pickle.dumps(one, 2) for one in (0x1950A86A20F9469CFC6C, 1001, system)]
    return b"".join([*before, contents, pickle.dumps([], 2)])


FORMS = {
    "raw.pth": (2, lambda contents: contents),
    "zip.pth": (2, as_zip),
    "legacy.pth": (2, as_legacy),
    "0.pdparams": (0, lambda contents: contents),
    "2.pdparams": (2, lambda contents: contents),
    "4.pdparams": (4, lambda contents: contents),
}


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
    mark = tmp_path / "it-ran"
    protocol, wrap = FORMS[form]
    for name, value in hostile(mark).items():
        source = tmp_path / f"{name}-{form}"
        for contents in (value, {"0.weight": value}, {"model": {"0.weight": [value]}}):
            source.write_bytes(wrap(pickled(contents, protocol)))
            done = transfer(source, tmp_path / "b.safetensors", *pair)
            assert_user_error(done, source.name, "could run code")
        source.unlink()
    assert left_behind(tmp_path) == set()


def test_safetensors_that_lie_about_their_size_are_refused(tmp_path, pair):
    whole = spoil(tmp_path).read_bytes()
    length = int.from_bytes(whole[:8], "little")
    lies = []
    for change in (
        lambda entry: entry.update(data_offsets=[0, 10**12]),
        lambda entry: entry.update(data_offsets=[-4, 28]),
        lambda entry: entry.update(shape=[2**62, 8]),
        lambda entry: entry.update(shape=[9]),
        lambda entry: entry.update(dtype="F64"),
        lambda entry: entry.update(dtype="__import__('os')"),
    ):
        header = json.loads(whole[8 : 8 + length])
        change(header["6.bias"])
        encoded = json.dumps(header).encode()
        lies.append(len(encoded).to_bytes(8, "little") + encoded + whole[8 + length :])
    lies.append((2**63 - 1).to_bytes(8, "little") + whole[8:])
    source = tmp_path / "lie.safetensors"
    for contents in lies:
        source.write_bytes(contents)
        done = transfer(source, tmp_path / "b.pdparams", *pair)
        assert_user_error(done, source.name, "cannot be loaded")


@pytest.mark.parametrize("ending", [".pth", ".pdparams", ".safetensors"])
def test_a_damaged_file_is_refused(tmp_path, pair, ending):
    whole = spoil(tmp_path)
    if ending != ".safetensors":
        carried(whole, tmp_path / f"whole{ending}", *pair)
        whole = tmp_path / f"whole{ending}"
    cut, target = tmp_path / f"cut{ending}", tmp_path / "b.pdparams"
    contents = whole.read_bytes()
    for damaged in (contents[:-200], contents[:1000], b"", b"<html>not found</html>"):
        cut.write_bytes(damaged)
        assert_user_error(transfer(cut, target, *pair), cut.name)
    assert not target.exists()


def test_a_bit_that_flipped_on_the_disk_is_seen(tmp_path, pair):
    """Only .pth files hold a sum to check them by."""
    weights = random_weights()
    tensors.write(tmp_path / "a.safetensors", weights)
    carried(tmp_path / "a.safetensors", tmp_path / "b.pth", *pair)
    contents = bytearray((tmp_path / "b.pth").read_bytes())
    contents[contents.index(weights["3.weight"].array.tobytes()) + 100] ^= 1
    (tmp_path / "b.pth").write_bytes(contents)
    done = transfer(tmp_path / "b.pth", tmp_path / "c.pdparams", *pair)
    assert_user_error(done, "b.pth", "damaged")


@pytest.mark.parametrize("ending", [".pth", ".pdparams", ".safetensors"])
def test_a_file_of_another_kind_is_refused(tmp_path, pair, ending):
    whole, target = spoil(tmp_path), tmp_path / "b.safetensors"
    for other in {".pth", ".pdparams", ".safetensors"} - {ending}:
        real, named = tmp_path / f"real{other}", tmp_path / f"named{ending}"
        carried(whole, real, *pair)
        real.rename(named)
        assert_user_error(transfer(named, target, *pair), named.name, "kind")
    if ending == ".pdparams":
        named.write_bytes(pickle.dumps({"0.weight": np.zeros(3, np.complex64)}))
        assert_user_error(transfer(named, target, *pair), "complex64")
        named.write_bytes(pickle.dumps([1, 2]))
        assert_user_error(transfer(named, target, *pair), "no weights by name")
        named.write_bytes(pickle.dumps({"0.weight": "text"}))
        assert_user_error(transfer(named, target, *pair), "0.weight is no tensor")


def test_wrong_usage_is_named(tmp_path, pair):
    source, target = spoil(tmp_path), tmp_path / "b.pth"
    assert_user_error(transfer(source, tmp_path / "b.bin", *pair), "ending")
    assert_user_error(transfer(tmp_path / "no.pth", target, *pair), "no such file")
    assert_user_error(transfer(source, tmp_path / "no" / "b.pth", *pair), "no such folder")
    assert_user_error(transfer(source, target, *pair[:2]), "--paddle-model")
    assert_user_error(transfer(source, source, *pair, "--force"), "one file")
    os.link(source, tmp_path / "same.safetensors")
    done = transfer(source, tmp_path / "same.safetensors", *pair, "--force")
    assert_user_error(done, "one file")
    (tmp_path / "folder.pth").mkdir()
    assert_user_error(transfer(source, tmp_path / "folder.pth", *pair, "--force"), "is a folder")
    for options, words in (
        ([source], ["TARGET"]),
        ([source, target, "--forc"], ["--forc", "--force"]),
        ([source, target, target], ["b.pth"]),
        ([source, target, "--num-classes", "many"], ["--num-classes", "many"]),
        ([source, target, "--torch-args", "{"], ["--torch-args", "JSON"]),
        ([source, target, "--map", "left"], ["--map", "left"]),
    ):
        done = transfer(*options)
        assert_user_error(done, *words)
        assert len(done.stderr.splitlines()) == 1 and "usage:" not in done.stderr


def test_what_may_not_be_read_or_written_is_named(tmp_path, monkeypatch):
    """Asked of the system by os.access, which lets root do all."""
    source, target = spoil(tmp_path), tmp_path / "b.pth"
    for forbidden, mode, words in ((source, os.R_OK, "read"), (tmp_path, os.W_OK, "written to")):
        monkeypatch.setattr(os, "access", lambda path, asked: (path, asked) != (forbidden, mode))  # noqa: B023
        with pytest.raises(UserError, match=words):
            check_paths(source, target, force=False)


# Limits and signals reach what the tool itself starts, and not a process that another forks.
OWN_PROBES = {f"{framework.upper()}_PYTHON": sys.executable for framework in FRAMEWORKS}


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
    script = f'ulimit -f {limit}; exec "$@"'
    tool = [sys.executable, TOOL, source, tmp_path / target, *pair, "--num-classes", 9999]
    done = run("bash", "-c", script, "bash", *tool, **OWN_PROBES)
    assert_user_error(done, target, "cannot be written (File too large)")
    assert left_behind(tmp_path, source) == set()


def test_a_disk_without_room_is_named(tmp_path, pair, monkeypatch):
    source = spoil(tmp_path)
    usage = types.SimpleNamespace(free=100)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    assert_user_error(transfer(source, tmp_path / "b.pth", *pair), "MB are free")
    assert left_behind(tmp_path, source) == set()


def has_ended(pid):
    """Say whether a process ends within a few seconds."""
    for _ in range(100):
        if not is_running(pid):
            return True
        time.sleep(0.05)
    return False


SLOW = """
import os, pathlib, time

def net():
    pathlib.Path(__file__).with_name("started").write_text(str(os.getpid()))
    time.sleep(60)
"""


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_run_leaves_nothing_behind(tmp_path, number, status):
    source, pair = spoil(tmp_path), pairs.write(tmp_path, torch=SLOW)
    command = [sys.executable, TOOL, source, tmp_path / "b.pdparams", *pair]
    process = subprocess.Popen(
        [str(word) for word in command],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | OWN_PROBES,
    )
    started = tmp_path / "started"
    deadline = time.monotonic() + 60
    while not (started.exists() and started.read_text()) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(number)
    assert process.wait(20) == status
    assert "Traceback" not in process.stderr.read()
    process.stderr.close()
    assert has_ended(int(started.read_text()))
    assert left_behind(tmp_path, source, started) == set()
