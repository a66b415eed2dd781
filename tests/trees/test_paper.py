"""The paper's network: its layers, its start, and its response normalization."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from common import networks
from common.training.args import parse
from portproof.files import pickles
from tests.support.helpers import FRAMEWORKS, SUFFIX, assert_success, assert_user_error, run_mains
from tests.support.trees import run_parts
from tools import transfer_weights

SHAPES = {
    "features.0": (96, 3, 11, 11), "features.4": (256, 48, 5, 5), "features.8": (384, 256, 3, 3),
    "features.10": (384, 192, 3, 3), "features.12": (256, 192, 3, 3), "classifier.0": (4096, 9216),
    "classifier.3": (4096, 4096), "classifier.6": (1000, 4096),
}  # fmt: skip
ALL_SHAPES = {f"{name}.weight": shape for name, shape in SHAPES.items()}
ALL_SHAPES |= {f"{name}.bias": shape[:1] for name, shape in SHAPES.items()}
K, N, ALPHA, BETA = 2, 5, 1e-4, 0.75  # of the normalization, section 3.3
POSITIVE = {"features.4", "features.10", "features.12", "classifier.0", "classifier.3"}
HOOK = {"torch": "register_forward_hook", "paddle": "register_forward_post_hook"}
NORM = {"torch": "import torch; x = torch.from_numpy(a).requires_grad_()"}
NORM |= {"paddle": "import paddle; x = paddle.to_tensor(a, stop_gradient=False)"}


@pytest.fixture(scope="module", params=FRAMEWORKS)
def weights(request, tmp_path_factory):
    out_dir = tmp_path_factory.mktemp(request.param)
    return run_parts(request.param, out_dir, "--model", "alexnet-paper", weights={})["weights"]


def test_the_network_has_the_papers_shapes_and_number_of_parameters(weights):
    assert {name: array.shape for name, array in weights.items()} == ALL_SHAPES
    assert sum(array.size for array in weights.values()) == 60_965_224
    assert networks.of_weights(weights) == "alexnet-paper"


def test_weights_are_normal_and_biases_0_or_1(weights):
    for name in SHAPES:
        weight = weights[f"{name}.weight"].ravel()
        assert np.all(weights[f"{name}.bias"] == (name in POSITIVE)), name
        # Quantiles of the normal distribution at 2.5, 16, 50, 84 and 97.5 per cent.
        ranks = (np.array([0.02275, 0.15866, 0.5, 0.84134, 0.97725]) * weight.size).astype(int)
        quantiles = np.partition(weight, ranks)[ranks] / 0.01
        assert np.abs(quantiles - [-2, -1, 0, 1, 2]).max() < 10 / weight.size**0.5, name


LAYERS = """
import json, sys
from portproof.backends import choose, shared
from portproof.worker import forward
from models.alexnet_paper import AlexNetPaper
network = AlexNetPaper(num_classes=2)
choose("torch" if "torch" in sys.modules else "paddle")
layers = [*network.features, *network.classifier]
kinds = [shared.kind(layer).lower() for layer in layers]
print(json.dumps([*zip(kinds, map(forward.settings, layers))]))
"""
SETTINGS = {"conv2d": ("stride", "padding", "groups"), "dropout": ("p",)}  # that are looked at
SETTINGS["maxpool2d"] = ("kernel_size", "stride", "padding")
RELU, LINEAR, DROPOUT = ("relu",), ("linear",), ("dropout", 0.5)
LRN, POOL = ("localresponsenorm",), ("maxpool2d", 3, 2, 0)


def test_the_layers_stand_in_the_papers_order_with_its_settings(framework, run_in_tree):
    """Normalization follows the ReLUs of convolutions 1 and 2, pooling comes after 1, 2 and 5."""
    layers = []
    for kind, settings in json.loads(run_in_tree(framework, LAYERS).stdout.splitlines()[-1]):
        settings["kernel_size"] = settings.get("kernel_size", settings.get("ksize"))
        numbers = [np.ravel(settings[name])[0] for name in SETTINGS.get(kind, ())]
        layers.append((kind, *numbers))
    assert layers == [
        ("conv2d", 4, 0, 1), RELU, LRN, POOL, ("conv2d", 1, 2, 2), RELU, LRN, POOL,
        ("conv2d", 1, 1, 1), RELU, ("conv2d", 1, 1, 2), RELU, ("conv2d", 1, 1, 2), RELU, POOL,
        LINEAR, RELU, DROPOUT, LINEAR, RELU, DROPOUT, LINEAR,
    ]  # fmt: skip


def sums_of_neighbours(a: np.ndarray) -> np.ndarray:
    """Return for each channel of a [N, C, H, W] the sum over the N channels around it."""
    padded = np.pad(a, [(0, 0), (N // 2, N // 2), (0, 0), (0, 0)])
    return sum(padded[:, i : i + a.shape[1]] for i in range(N))


def papers_norm(a: np.ndarray) -> np.ndarray:
    """The formula of section 3.3 on what one GPU holds, a [N, C, H, W]."""
    return a / (K + ALPHA * sums_of_neighbours(a**2)) ** BETA


def papers_gradient(a: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The gradient of (weight * papers_norm(a)).sum(), by hand."""
    d = K + ALPHA * sums_of_neighbours(a**2)
    others = sums_of_neighbours(weight * a * d ** (-BETA - 1))
    return weight * d**-BETA - 2 * ALPHA * BETA * a * others


def test_response_normalization_is_that_of_the_paper(framework, tmp_path, run_in_tree):
    """Large numbers, so that the sum counts: with alpha as it stands the result is 20 times off."""
    a = 100 * np.random.Generator(np.random.Philox(0)).standard_normal([2, 12, 3, 4])
    np.save(tmp_path / "a.npy", a)
    run_in_tree(
        framework,
        f"""
import numpy as np
from models.alexnet_paper import ResponseNorm
a = np.load({str(tmp_path / "a.npy")!r})
{NORM[framework]}
y = ResponseNorm()(x)
np.save({str(tmp_path / "b.npy")!r}, y.detach().numpy())
(y * x.detach() ** 2).sum().backward()
np.save({str(tmp_path / "gradient.npy")!r}, x.grad.numpy())
np.save({str(tmp_path / "c.npy")!r}, 50 * ResponseNorm(raw=50)(x / 50).detach().numpy())
""",
    )
    halves = np.split(a, 2, axis=1)
    expected = np.concatenate([papers_norm(half) for half in halves], axis=1)
    for name in ("b", "c"):  # the numbers as they are, and 50 times smaller
        np.testing.assert_allclose(np.load(tmp_path / f"{name}.npy"), expected, rtol=1e-7)
    expected = np.concatenate([papers_gradient(half, half**2) for half in halves], axis=1)
    gradient = np.load(tmp_path / "gradient.npy")
    # Paddle's backward has 1/5 of the mean over a window as a float32, 1.5e-8 off.
    assert np.abs(gradient - expected).max() < 2**-24 * np.abs(expected).max()


def test_the_network_sees_raw_pixels(framework, tmp_path, run_in_tree):
    """The loaders' pixels have deviation 1; the paper's are 0 to 255 less their mean."""
    images = np.random.Generator(np.random.Philox(0)).standard_normal([2, 3, 67, 67])
    np.save(tmp_path / "x.npy", images.astype(np.float32))
    run_in_tree(
        framework,
        f"""
import numpy as np
from models import alexnet_paper
from presets import STD
a = np.load({str(tmp_path / "x.npy")!r})
{NORM[framework]}
network = alexnet_paper.AlexNetPaper(num_classes=4)
network.eval()
first = network.features[0]
seen = []
first.{HOOK[framework]}(lambda layer, inputs, output: seen.append(inputs[0].detach().numpy()))
network(x)
assert abs(alexnet_paper.RAW - 255 * sum(STD) / 3) < 0.1
np.testing.assert_allclose(seen[0], alexnet_paper.RAW * a, rtol=1e-6)
""",
    )


def test_the_recipe_takes_the_papers_network_and_images(tmp_path):
    args = parse("torch", ["--recipe", "paper", "--data-path", str(tmp_path)])
    assert (args.model, args.image_size, args.batch_size) == ("alexnet-paper", 227, 128)
    assert (args.lr, args.momentum, args.weight_decay) == (0.01, 0.9, 5e-4)
    assert parse("torch", ["--model", "alexnet-paper"]).image_size == 67  # the sample's are smaller


def test_a_run_is_resumed_and_used_without_saying_the_model_again(
    framework, small_folder, small_trees, tmp_path
):
    folder, suffix = tmp_path / "run", SUFFIX[framework]
    data = ["--data-path", small_folder, "--workers", 0]
    options = ["--recipe", "paper", "--image-size", 67, "--batch-size", 6, "--lr", 1e-4]
    options += ["--schedule", "plateau", "--output-dir", folder]
    weights = folder / f"best{suffix}"
    native = {"torch": "pt2", "paddle": "inference"}[framework]
    predict = [small_folder / "val", "--weights", weights]
    commands = [
        ("train", [*data, *options, "--epochs", 1]),
        ("train", [*data, "--resume", folder / f"last{suffix}", "--epochs", 2]),
        ("predict", predict),
        ("export", ["--weights", weights, "--format", native, "--data-path", small_folder]),
        ("predict", [*predict, "--image-size", 64]),
        ("train", [*data, "--eval-only", "--weights", weights]),
    ]
    *runs, small, other = run_mains(small_trees[framework], tmp_path, *commands)
    trained, resumed, predicted, _ = map(assert_success, runs)
    assert "model: alexnet-paper, 3 classes, 67 pixels" in trained.stdout
    assert "epoch 2/2" in resumed.stdout
    assert "note:" not in predicted.stderr  # the run tells its image size
    assert_user_error(small, "--image-size 64", "alexnet-paper", "67 pixels")
    assert_user_error(other, "those of --model alexnet-paper")


def test_weights_are_transferred_without_naming_the_network(tmp_path, capsys):
    arrays = {name: np.zeros(shape, np.float32) for name, shape in ALL_SHAPES.items()}
    arrays["classifier.3.weight"][1, 2] = 3.0
    source, target = tmp_path / "paper.safetensors", tmp_path / "paper.pdparams"
    save_file(arrays, source)
    assert transfer_weights.main([str(source), str(target)]) == 0, capsys.readouterr().out
    assert pickles.read(target)["classifier.3.weight"][2, 1] == 3.0  # Paddle's [in, out]
