"""export.py of both trees: what is exported says what the live model says, or is not kept."""

import json
import shutil
import sys

import numpy as np
import pytest

from common.data.folder import FolderIndex
from common.inference import exports, onnx_graph
from common.inference.metadata import ModelMetadata
from common.inference.onnx_graph import Operation
from common.inference.onnx_models import open_onnx
from portproof.system.errors import UserError
from tests.support.helpers import SUFFIX, assert_success, assert_user_error, run_mains
from tests.support.planting import Edit, plant

NATIVE = {"torch": ("pt2", ".pt2"), "paddle": ("inference", ".inference")}
MISTAKES = {  # the command, its words, and those of the error
    "other size": ("predict", "{data}/val --image-size 96", ["--image-size 96", "64 pixels"]),
    "wrong ending": ("export", "--format onnx --output {out}/a.txt", ["--output", "ending .onnx"]),
    "wrong format": ("export", "--format tflite --data-path {data}", ["--format", "tflite"]),
    "no data": ("export", "--format onnx --data-path {out}/x", ["--data-path", "no such folder"]),
    "wrong names": ("export", "--format onnx --classes {run}/args.json", ["3 classes apart"]),
}
FACTS = ModelMetadata(64, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), ["one", "two"])
LAYOUT = {"padding_algorithm": "EXPLICIT", "data_format": "NCHW"}


@pytest.fixture(scope="module")
def exported(small_run, small_folder, tmp_path_factory):
    """What export.py did, and what predict.py said of its files, by name; and their folder."""
    framework, tree, run = small_run
    out = tmp_path_factory.mktemp(f"exported-{framework}")
    format, ending = NATIVE[framework]
    best = run / f"best{SUFFIX[framework]}"
    onnx, native = out / "it.onnx", out / f"it{ending}"

    def export(format, *options):
        return "export", ["--weights", best, "--format", format, *options]

    def predict(weights, *options):
        return "predict", [small_folder / "val", "--weights", weights, *options]

    data = ["--data-path", small_folder]
    commands = {
        "onnx": export("onnx", "--output", onnx, *data),
        "native": export(format, "--output", native, *data),
        "live says": predict(best, "--json", "-"),
        "onnx says": predict(onnx, "--json", "-"),
        "native says": predict(native, "--json", "-"),
        "one by one": predict(onnx, "--json", "-", "--batch-size", 1),
    }
    paths = {"data": small_folder, "out": out, "run": run}
    for name, (command, words, _) in MISTAKES.items():
        weights = ["--weights", best if command == "export" else onnx]
        commands[name] = (command, [*weights, *words.format(**paths).split()])
    done = dict(zip(commands, run_mains(tree, out, *commands.values()), strict=True))
    return framework, tree, out, done


@pytest.mark.parametrize("name", ["onnx", "native"])
def test_an_export_is_checked_and_timed(exported, name):
    *_, done = exported
    lines = assert_success(done[name]).stdout.splitlines()
    assert [line.split(":")[0] for line in lines] == ["batch 1", "batch 8", "exported"]
    for line in lines[:2]:
        words = line.split()
        assert 0 <= float(words[words.index("difference") + 1].rstrip(";")) < exports.TOLERANCE
        assert line.count(" ms") == 2


@pytest.mark.parametrize("name", ["onnx says", "native says", "one by one"])
def test_the_exported_model_says_the_same_and_knows_its_names(exported, name):
    *_, done = exported
    live, other = (json.loads(assert_success(done[key]).stdout) for key in ("live says", name))
    assert other["image_size"] == live["image_size"] == 64
    for left, right in zip(live["pictures"], other["pictures"], strict=True):
        for answer, expected in zip(right["top"], left["top"], strict=True):
            assert answer["class"] == expected["class"]
            assert answer["probability"] == pytest.approx(expected["probability"], abs=1e-6)


def test_nothing_but_the_exports_is_left(exported):
    framework, _, out, _ = exported
    left = {path.name for path in out.iterdir()} - {"request.json", "answer.json"}
    assert left == {"it.onnx", f"it{NATIVE[framework][1]}"}


def test_an_export_holds_no_path_of_the_machine_that_made_it(exported):
    _, tree, out, _ = exported
    files = [path for path in out.rglob("*") if path.is_file() and path.suffix != ".json"]
    files += out.glob("*/model.json")
    assert len(files) >= 2
    for file in files:
        assert str(tree).encode() not in file.read_bytes(), file


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line(exported, name):
    assert_user_error(exported[-1][name], *MISTAKES[name][2])


@pytest.fixture(scope="module")
def refused(exported, small_run, small_folder, tmp_path_factory):
    """What a tree did whose model changes once it is exported over another; and damaged exports."""
    framework, tree, run = small_run
    out = exported[2]
    folder = tmp_path_factory.mktemp(f"refused-{framework}")
    format, ending = NATIVE[framework]

    zero = {"torch": "torch.nn.init.zeros_", "paddle": "nn.initializer.Constant(0.0)"}[framework]
    change = f"{zero}(model.features[0].bias)"
    spoilt = shutil.copytree(tree, folder / "spoilt" / tree.name)
    written = "write(model, path, known)"
    plant(spoilt, [Edit(written, f"{written}\n{change}", "export")])

    target = folder / "kept" / f"it{ending}"
    target.parent.mkdir()
    if framework == "torch":
        target.write_bytes(b"before")
        whole = (out / "it.pt2").read_bytes()
        (folder / "half.pt2").write_bytes(whole[: len(whole) // 2])
        files = ["half.pt2"]
    else:
        target.mkdir()
        (target / "facts.json").write_bytes(b"before")
        files = [f"no-{lost}.inference" for lost in ("facts.json", "model.json", "model.pdiparams")]
        for name in files:
            export = shutil.copytree(out / "it.inference", folder / name)
            (export / name[3 : -len(".inference")]).unlink()

    words = ["--weights", run / f"best{SUFFIX[framework]}", "--data-path", small_folder]
    commands = [("export", [*words, "--format", format, "--output", target])]
    commands += [("predict", [small_folder / "val", "--weights", folder / n]) for n in files]
    differing, *damaged = run_mains(spoilt, folder, *commands)
    return target, differing, dict(zip(files, damaged, strict=True))


def test_an_export_that_differs_is_not_kept(refused):
    """The file of before stays as it was, and nothing else is left."""
    target, done, _ = refused
    assert done.returncode == 1, done.stderr
    assert done.stdout == "" and len(done.stderr.splitlines()) == 1
    assert "differs from the live one" in done.stderr and str(target) in done.stderr
    kept = target / "facts.json" if target.is_dir() else target
    assert [path.name for path in target.parent.iterdir()] == [target.name]
    assert kept.read_bytes() == b"before"


def test_damaged_exports_are_refused(refused):
    *_, damaged = refused
    for name, done in damaged.items():
        assert_user_error(done, name)


def test_a_damaged_onnx_file_is_refused(exported, tmp_path):
    whole = (exported[2] / "it.onnx").read_bytes()
    path = tmp_path / "half.onnx"
    for content in (whole[: len(whole) // 2], b"text", b""):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"half\.onnx: cannot be loaded"):
            open_onnx(path)


def test_a_folder_that_is_no_export_is_not_replaced(tmp_path):
    target = tmp_path / "photos.inference"
    target.mkdir()
    (target / "mine.jpg").write_bytes(b"x")
    with pytest.raises(UserError, match="no export"), exports.whole_export(target):
        raise AssertionError("not reached")
    assert (target / "mine.jpg").read_bytes() == b"x"


def test_an_export_takes_the_place_of_another(tmp_path):
    for content in ("old", "new"):
        with exports.whole_export(tmp_path / "it.inference") as partial:
            partial.mkdir()
            (partial / "facts.json").write_text(content)
            (partial / content).write_text(content)
        with exports.whole_export(tmp_path / "it.onnx") as partial:
            partial.write_text(content)
    names = [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")]
    assert {*names} == {"it.inference", "it.onnx", "it.inference/facts.json", "it.inference/new"}
    assert (tmp_path / "it.onnx").read_text() == "new"


def test_a_missing_package_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match=r"needs onnxruntime.*pip install.*\[export\]"):
        open_onnx(tmp_path / "any.onnx")


def test_the_difference_is_relative_and_sees_nan():
    live = np.array([[100.0, -200.0]], np.float32)
    assert exports.relative_difference(live, live) == 0
    assert exports.relative_difference(live, live + 2) == pytest.approx(0.01)
    assert exports.relative_difference(live, live[:, :1]) == float("inf")
    images = np.zeros([3, 3, 64, 64], np.float32)
    with pytest.raises(exports.Difference):
        exports.check(lambda x: x[:, 0, 0], lambda x: x[:, 0, 0] * np.nan, images)
    sizes = [check.batch for check in exports.check(np.ones_like, np.ones_like, images)]
    assert sizes == list(exports.BATCHES)


def test_the_images_are_spread_over_the_classes():
    index = FolderIndex(list("abcd"), [str(i) for i in range(40)], [i // 10 for i in range(40)])
    assert list(exports.spread(index, 4).labels) == [0, 1, 2, 3]
    assert exports.spread(index, 50) == index


# The rest: the graph that is built from operations of Paddle's, without Paddle.


def operation(kind, inputs, outputs, shape, **attributes):
    return Operation(f"pd_op.{kind}", f"/{kind}/", attributes, inputs, outputs, shape)


def run_graph(operations, weights, output, images, path):
    import onnx

    start = [operation("data", [], ["x"], [-1, *images.shape[1:]])]
    parameters = [
        Operation("builtin.parameter", "", {"parameter_name": name}, [], [name], list(value.shape))
        for name, value in weights.items()
    ]
    model = onnx_graph.build([*parameters, *start, *operations], weights, output, FACTS.to_json())
    onnx.save(model, path)
    opened = open_onnx(path)
    assert opened.facts == FACTS
    return opened.run(images)


@pytest.mark.parametrize(("size", "wanted"), [(1, 6), (6, 6), (7, 6), (13, 6), (12, 4)])
def test_adaptive_pooling_averages_as_defined(size, wanted, tmp_path):
    images = np.random.default_rng(0).normal(size=[3, 2, size, size + 1]).astype(np.float32)
    window = operation("full_int_array", [], ["window"], [2], value=[wanted, wanted])
    attributes = {"adaptive": True, "pooling_type": "avg", "global_pooling": False} | LAYOUT
    pooling = operation("pool2d", ["x", "window"], ["y"], [-1, 2, wanted, wanted], **attributes)
    pooled = run_graph([window, pooling], {}, "y", images, tmp_path / "a.onnx")
    expected = np.zeros([3, 2, wanted, wanted])
    for i in range(wanted):
        for j in range(wanted):
            rows = slice(i * size // wanted, -(-(i + 1) * size // wanted))
            columns = slice(j * (size + 1) // wanted, -(-(j + 1) * (size + 1) // wanted))
            expected[:, :, i, j] = images[:, :, rows, columns].mean(axis=(2, 3))
    np.testing.assert_allclose(pooled, expected, atol=1e-6)


def test_paddings_of_four_sides_keep_their_sides(tmp_path):
    """Paddle lists top, bottom, left, right; ONNX top, left, bottom, right."""
    images = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    weights = {"w": np.ones([1, 1, 1, 1], np.float32)}
    attributes = {"strides": [1, 1], "paddings": [1, 2, 3, 4], "dilations": [1, 1], "groups": 1}
    convolution = operation("conv2d", ["x", "w"], ["y"], [-1, 1, 7, 11], **attributes, **LAYOUT)
    padded = run_graph([convolution], weights, "y", images, tmp_path / "p.onnx")
    np.testing.assert_array_equal(padded[0, 0], np.pad(images[0, 0], [(1, 2), (3, 4)]))


@pytest.mark.parametrize(
    ("kind", "inputs", "attributes", "words"),
    [
        ("gelu", ["x"], {}, "pd_op.gelu.*/gelu/"),
        ("dropout", ["x", None, "rate"], {"is_test": False}, "pd_op.dropout with is_test=False"),
        ("matmul", ["x", "x"], {"transpose_x": True}, "pd_op.matmul with transpose_x=True"),
    ],
)
def test_an_unknown_operation_is_named(kind, inputs, attributes, words):
    start = operation("data", [], ["x"], [-1, 1])
    unknown = operation(kind, inputs, ["y"], [-1, 1], **attributes)
    with pytest.raises(UserError, match=words):
        onnx_graph.build([start, unknown], {}, "y", "{}")
