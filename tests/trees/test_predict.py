"""predict.py of both trees: what it says of real files, and how it says no."""

import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from common.inference import input_paths, metadata
from common.inference.metadata import ModelMetadata
from common.training.run_folder import read_metrics
from portproof.system.errors import UserError
from tests.support.helpers import SUFFIX, assert_success, assert_user_error, run_mains
from tests.support.trees import run_parts

MISTAKES = {  # the command, and words of the error
    "missing": ("{out}/nowhere.jpg --weights {best}", ["nowhere.jpg", "no such file"]),
    "dash": ("--weights {best} -- -dash.jpg", ["-dash.jpg", "no such file"]),
    "empty pattern": ("{out}/*.webp --weights {best}", ["*.webp", "nothing fits"]),
    "no folder": ("{image} --weights {best} --json {out}/no/x.json", ["--json", "not there"]),
    "no png": ("{image} --weights {best} --plot {out}/x.jpg", ["--plot", ".png"]),
    "no weights": ("{image} --weights {out}/x.pth", ["--weights", "no such file"]),
}
ODD_NAMES = ["two words.jpg", "-dash.jpg", "new\nline.jpg", "照片 $x^2$.jpg", "[1].jpg"]


def images_in(path):
    """Return what a file of predict.py --json says of each image."""
    return json.loads(path.read_bytes())["pictures"]


@pytest.fixture(scope="module")
def predicted(small_run, small_folder, tmp_path_factory):
    """What predict.py did with many command lines, by name; and the folder of its files."""
    framework, tree, run = small_run
    out = tmp_path_factory.mktemp(f"predicted-{framework}")
    best = run / f"best{SUFFIX[framework]}"
    val = small_folder / "val"
    image = val / "cross" / "1.jpg"

    odd = out / "odd"
    odd.mkdir()
    for name in ODD_NAMES:
        shutil.copy(image, odd / name)
    shutil.copy(image, os.fsencode(odd) + b"/no-utf8-\xff.jpg")
    (odd / "notes.txt").write_text("no image, and passed over")
    damaged = out / "damaged.jpg"
    damaged.write_bytes(image.read_bytes()[:900])

    alone = out / f"alone{SUFFIX[framework]}"  # with no args.json beside it
    shutil.copy(best, alone)
    (out / "names.txt").write_text("甲\n乙\n丙\n", encoding="utf-8")
    (out / "two.txt").write_text("a\nb\n")

    weights = ["--weights", best]
    commands = {
        "all": [val, *weights, "--json", out / "all.json", "--plot", out / "all.png"],
        "one by one": [val, *weights, "--json", out / "single.json", "--batch-size", 1],
        "pattern": [f"{val}/*/[12].jpg", *weights, "--json", "-"],
        "odd names": [odd, *weights, "--json", out / "odd.json"],
        "named": [image, *weights, "--classes", out / "names.txt", "--plot", out / "one.png"],
        "two names": [image, *weights, "--classes", out / "two.txt"],
        "alone": [image, "--weights", alone, "--image-size", 64],
        "alone, no size": [image, "--weights", alone],
        "damaged": [
            image, damaged, *weights, "--json", out / "none.json", "--plot", out / "none.png",
        ],
    }  # fmt: skip
    paths = {"out": out, "image": image, "best": best}
    commands |= {name: words.format(**paths).split() for name, (words, _) in MISTAKES.items()}
    done = run_mains(tree, out, *(("predict", words) for words in commands.values()))
    return dict(zip(commands, done, strict=True)), out


def test_the_answers_are_those_of_the_training(predicted, small_run, small_folder):
    """As many are right as train.py counted; three classes have three answers, likeliest first."""
    done, out = predicted
    assert_success(done["all"])
    assert json.loads((out / "all.json").read_bytes())["image_size"] == 64
    images = images_in(out / "all.json")
    paths = [image["path"] for image in images]
    assert paths == sorted(map(str, (small_folder / "val").glob("*/*.jpg")))
    right = 0
    for image in images:
        top = image["top"]
        assert {answer["class"] for answer in top} == {"bars", "checks", "cross"}
        numbers = [answer["probability"] for answer in top]
        assert numbers == sorted(numbers, reverse=True) and abs(sum(numbers) - 1) < 1e-5
        right += image["path"].split("/")[-2] == top[0]["class"]
    (row,) = read_metrics(small_run[2])
    assert 100 * right / len(paths) == pytest.approx(row["val_top1"])


def test_the_screen_says_the_same(predicted):
    done, out = predicted
    expected = []
    for image in images_in(out / "all.json"):
        expected.append(image["path"])
        for answer in image["top"]:
            expected.append(f"{100 * answer['probability']:7.2f} %  {answer['class']}")
    assert done["all"].stdout.splitlines() == expected


def test_the_batch_changes_nothing(predicted):
    _, out = predicted
    together, single = (images_in(out / name) for name in ("all.json", "single.json"))
    for batched, alone in zip(together, single, strict=True):
        assert batched["path"] == alone["path"]
        for left, right in zip(batched["top"], alone["top"], strict=True):
            assert left["probability"] == pytest.approx(right["probability"], abs=1e-5)


def test_json_on_standard_output_is_alone(predicted):
    done, _ = predicted
    images = json.loads(done["pattern"].stdout)["pictures"]
    assert [image["path"].split("/")[-1] for image in images] == ["1.jpg", "2.jpg"] * 3


def test_any_file_name_will_do(predicted):
    done, out = predicted
    assert "new\\nline.jpg\n" in assert_success(done["odd names"]).stdout
    paths = {image["path"] for image in images_in(out / "odd.json")}
    raw = os.fsdecode(os.fsencode(out / "odd") + b"/no-utf8-\xff.jpg")
    assert paths == {str(out / "odd" / name) for name in ODD_NAMES} | {raw}


def test_the_plot_is_an_image_with_the_photograph_in_it(predicted):
    _, out = predicted
    for name, images in (("all.png", 12), ("one.png", 1)):
        with Image.open(out / name) as plot:
            pixels = np.asarray(plot.convert("RGB"))
        assert pixels.shape[0] > 100 * -(-images // 2)
        assert (pixels == (0x1F, 0x6F, 0xB2)).all(axis=2).sum() > 400 * images  # the top bars


def test_names_come_from_a_file_or_are_numbers(predicted):
    done, _ = predicted
    for name in "甲乙丙":
        assert f" %  {name}\n" in done["named"].stdout
    assert " %  bars\n" in done["alone"].stdout  # the checkpoint itself names them
    assert_user_error(done["two names"], "tells 3 classes apart", "2 names", "--classes")


def test_a_size_that_nothing_tells_is_said(predicted):
    done, _ = predicted
    assert "224 pixels are taken" in assert_success(done["alone, no size"]).stderr
    assert "pixels are taken" not in done["alone"].stderr + done["all"].stderr


def test_a_damaged_image_is_named_and_nothing_is_written(predicted):
    done, out = predicted
    assert_user_error(done["damaged"], "damaged.jpg", "cannot be read as an image")
    assert done["damaged"].stdout == ""
    assert not list(out.glob("*none*"))


@pytest.mark.parametrize("command", MISTAKES)
def test_a_mistake_is_one_line(predicted, command):
    assert_user_error(predicted[0][command], *MISTAKES[command][1])


def test_weights_without_names_give_numbers_in_both_trees(small_folder, small_trees, tmp_path):
    """One .safetensors of six classes: five answers, the same in either framework."""
    request = {"weights": {"num_classes": 6}}
    parts = run_parts("torch", tmp_path / "weights", tree=small_trees["torch"], **request)
    weights = {name: 2.5 * np.ascontiguousarray(a) for name, a in parts["weights"].items()}
    save_file(weights, tmp_path / "six.safetensors")
    weights["classifier.6.bias"][2] = np.nan
    save_file(weights, tmp_path / "nan.safetensors")

    words = [small_folder / "val", "--image-size", 64, "--weights"]
    answers = {}
    for framework, tree in small_trees.items():
        file = tmp_path / f"{framework}.json"
        whole = [*words, tmp_path / "six.safetensors", "--json", file]
        with_nan = [*words, tmp_path / "nan.safetensors"]
        done, spoilt = run_mains(tree, tmp_path, ("predict", whole), ("predict", with_nan))
        assert_success(done)
        assert_user_error(spoilt, "no numbers", "NaN")
        answers[framework] = [image["top"] for image in images_in(file)]

    for torch_top, paddle_top in zip(*answers.values(), strict=True):
        assert len({answer["index"] for answer in torch_top}) == 5
        for torch, paddle in zip(torch_top, paddle_top, strict=True):
            assert torch["class"] == paddle["class"] == f"class {paddle['index']}"
            assert paddle["probability"] == pytest.approx(torch["probability"], rel=1e-4)


def test_images_are_found_once_and_in_order(tmp_path):
    for name in ("b/2.jpg", "b/10.PNG", "a/1.jpg", "b/.hidden.jpg", "b/notes.txt", "*.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    paths = input_paths.find([str(tmp_path / "b"), str(tmp_path), str(tmp_path / "?" / "2.jpg")])
    names = [path.removeprefix(f"{tmp_path}/") for path in paths]
    assert names == ["b/10.PNG", "b/2.jpg", "*.jpg", "a/1.jpg"]
    assert input_paths.find([str(tmp_path / "*.jpg")]) == [str(tmp_path / "*.jpg")]
    (tmp_path / "none").mkdir()
    with pytest.raises(UserError, match="no images in this folder"):
        input_paths.find([str(tmp_path / "none")])


def test_what_an_export_says_of_itself_is_checked(tmp_path):
    good = ModelMetadata(64, (0.5, 0.5, 0.5), (0.2, 0.2, 0.2), ["一", "b"])
    assert metadata.from_json(good.to_json(), tmp_path) == good
    entries = json.loads(good.to_json())
    assert entries["resize_size"] == 73
    for change in ({"classes": 3}, {"classes": [1]}, {"image_size": "x"}, {"image_size": 5}):
        with pytest.raises(UserError, match="damaged"):
            metadata.from_json(json.dumps(entries | change), tmp_path)
    with pytest.raises(UserError, match="damaged"):
        metadata.from_json("{", tmp_path)


@pytest.mark.parametrize("content", [b"a\n\nb\n", b"\xff\xfe"])
def test_a_file_of_names_is_read_whole_or_refused(tmp_path, content):
    path = tmp_path / "names.txt"
    path.write_bytes(content)
    with pytest.raises(UserError, match="--classes"):
        metadata.read_classes(path)
    path.write_bytes(b"\xef\xbb\xbfa \r\nb\r\n\r\n")
    assert metadata.read_classes(path) == ["a", "b"]
