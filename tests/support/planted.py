"""Faults, and correct ports, to be made of a tree by editing its code; a line for each."""

from tests.support.planting import Edit

CONV1 = "nn.Conv2D(3, 64, kernel_size=11, stride=4, padding=2)"
CONV2 = "nn.Conv2D(64, 192, kernel_size=5, padding=2)"
POOL1 = f"nn.MaxPool2D(kernel_size=3, stride=2),\n{CONV2}"
DROPOUT2 = "nn.Dropout(dropout),\nnn.Linear(4096, 4096)"
RELU1 = "nn.ReLU(),\nnn.Dropout(dropout)"
FEATURES = "x = self.features(x)"
AVGPOOL = "x = self.avgpool(x)"
FLATTEN = "x = paddle.flatten(x, 1)"
FORWARD = "return self.classifier(x)"
LAST = "nn.Linear(4096, num_classes)"
INIT = "self.apply(init_weights)"
OWN = "expected = model.state_dict()"
SET = "with state.loading(path):\n    model.set_state_dict(weights)"


def model(old, new, every=False):
    return [Edit(old, new, "AlexNet", every)]


def before(code, new):
    """Return an edit of the network that has `new` stand before `code`."""
    return model(code, f"{new}\n{code}")


def on_torch(code):
    return code.replace("2D", "2d")


NORM = {
    "torch": model(on_torch(CONV1), on_torch(CONV1) + ", nn.BatchNorm2d(64)"),
    "paddle": model(CONV1, CONV1 + ", nn.BatchNorm2D(64)"),
}
TWO = DROPOUT2 + ",\nnn.ReLU(),\nnn.Linear(4096, 4096)"  # one square layer more


def features(framework, upto, code):
    """Return an edit that has the first `upto` layers run, then `code`, with n a new BatchNorm."""
    lines = f"x = self.features[:{upto}](x)\nf, n = self.features, self.norm\n{code}"
    # A layer that nothing uses gets no gradient, and several processes then refuse to train.
    norm = f"nn.BatchNorm2{'D' if framework == 'paddle' else 'd'}(64)" if "n." in code else None
    code = lines.replace("F.", f"{framework}.nn.functional.")
    return model(FEATURES, code) + before(INIT, f"self.norm = {norm}")


def norm_function(rest, torch_rest="training=self.training"):
    """Return edits of both trees that normalize by a function, with these arguments."""
    paddle = f"x = f[1:](F.batch_norm(x, n._mean, n._variance, n.weight, n.bias, {rest}))"
    torch = (
        f"x = f[1:](F.batch_norm(x, n.running_mean, n.running_var, n.weight, n.bias, {torch_rest}))"
    )
    return features("paddle", 1, paddle), features("torch", 1, torch)


def classifier(upto, code):
    """Return an edit of a forward that runs the classifier's first `upto` layers, then `code`."""
    code = code.replace("F.", "paddle.nn.functional.")
    return model(FORWARD, f"c = self.classifier\nx = c[:{upto}](x)\n{code}")


def fault(paddle, where, *words, torch=()):
    """Return a fault: edits of both trees, where it is seen, words of the cause or the fix."""
    return paddle, list(torch), where, list(words)


# name: (edits of the Paddle tree, edits of the torch tree, where, words of the cause or the fix)
FAULTS = {
    "linear not transposed": fault([Edit("state.transposed(weights[name])", "weights[name]")],
        "classifier.1", "transpose"),
    "square linear not transposed": fault(
        [Edit("state.transposed", "(lambda w: w if '4' in name else state.transposed(w))")],
        "classifier.4", "classifier.4.weight", "transpose"),
    "key not loaded": fault(
        [Edit(SET, "with state.loading(path):\n    weights.pop('features.3.bias')\nmodel.set_state_dict(weights)", "put_weights")],
        "features.3", "features.3.bias", "not loaded"),
    "average pooling counts no padding": fault(
        model(POOL1, f"nn.AvgPool2D(3, 2, padding=1, exclusive=True),\n{CONV2}"),
        "features.2", "count_include_pad", "exclusive=False",
        torch=model(on_torch(POOL1), f"nn.AvgPool2d(3, 2, padding=1),\n{on_torch(CONV2)}")),
    "bias lost": fault(
        model("nn.Conv2D(192, 384, kernel_size=3, padding=1)", "nn.Conv2D(192, 384, kernel_size=3, padding=1, bias_attr=False)"),
        "features.6", "bias", "lost", "bias_attr"),
    "bias gained": fault([],
        "classifier.6", "bias", "gained", "bias_attr=False",
        torch=model(LAST, "nn.Linear(4096, num_classes, bias=False)")),
    "stride": fault(model("stride=4, padding=2", "stride=2, padding=2"), "features.0", "stride", "[4, 4]", "[2, 2]", "alexnet.py"),
    "padding": fault(model("stride=4, padding=2", "stride=4, padding=1"), "features.0", "padding"),
    "kernel": fault(model(CONV2, "nn.Conv2D(64, 192, kernel_size=3, padding=1)"), "features.3", "kernel"),
    "pooling kernel": fault(model(POOL1, f"nn.MaxPool2D(kernel_size=2, stride=2),\n{CONV2}"), "features.2", "kernel_size"),
    "pooling kind": fault(model(POOL1, f"nn.AvgPool2D(kernel_size=3, stride=2),\n{CONV2}"), "features.2", "MaxPool2d", "AvgPool2D"),
    "pooling ceil_mode": fault(model(POOL1, f"nn.MaxPool2D(kernel_size=3, stride=2, ceil_mode=True),\n{CONV2}"), "features.2", "ceil_mode"),
    "left in train mode": fault([Edit("", "def eval(self):\n    return self", "AlexNet.forward")],
        "classifier.0", "train mode"),
    "dropout as a function, always on": fault(
        model(FORWARD, FORWARD.replace("self.classifier(x)", "paddle.nn.functional.dropout(self.classifier(x), 0.2)")),
        "the output", "dropout", "train mode"),
    "dropout scales in evaluation": fault(
        model(DROPOUT2, DROPOUT2.replace("nn.Dropout(dropout)", "nn.Dropout(dropout, mode='downscale_in_infer')")),
        "classifier.3", "downscale_in_infer", "upscale_in_train"),
    "dropout scales in evaluation, as a function": fault(
        model(FLATTEN, "x = paddle.nn.functional.dropout(paddle.flatten(x, 1), 0.3, training=self.training, mode='downscale_in_infer')"),
        "classifier.0", "downscale_in_infer", "upscale_in_train"),
    "dropout missing": fault(model(DROPOUT2, "nn.Identity(),\nnn.Linear(4096, 4096)"), "classifier.3", "dropout", "p=0.5 in PyTorch"),
    "dropout in another place": fault(
        model(DROPOUT2 + ", nn.ReLU()", "nn.Linear(4096, 4096),\nnn.ReLU(),\nnn.Dropout(dropout)"),
        "classifier.3", "dropout", "p=0.5 in PyTorch, none in PaddlePaddle"),
    "another dropout rate": fault(model(DROPOUT2, DROPOUT2.replace("(dropout)", "(0.1)")), "classifier.3", "p", "0.5", "0.1"),
    "running statistics not loaded": fault(
        NORM["paddle"] + [Edit(SET, "weights = {n: v for n, v in weights.items() if not n.endswith(('._mean', '._variance'))}\n" + SET, every=True)],
        "features.1", "_mean", "not loaded",
        torch=NORM["torch"]),
    "epsilon": fault(model(CONV1, CONV1 + ", nn.BatchNorm2D(64, epsilon=1.1e-5)"),
        "features.1", "eps", "1e-05", "1.1e-05",
        torch=NORM["torch"]),
    "pooling that agrees at 224 pixels only": fault(model("nn.AdaptiveAvgPool2D((6, 6))", "nn.AvgPool2D(1)"), "avgpool", "AdaptiveAvgPool2d", "AvgPool2D"),
    "pooling left out": fault(model(AVGPOOL, ""), "avgpool", "avgpool"),
    "ReLU missing": fault(model(RELU1, "nn.Identity(),\nnn.Dropout(dropout)"), "classifier.2", "ReLU"),
    "another activation": fault(model(RELU1, "nn.LeakyReLU(),\nnn.Dropout(dropout)"), "classifier.2", "ReLU", "LeakyReLU"),
    "channels reversed": fault(model(FEATURES, "x = self.features(x[:, [2, 1, 0]])"), "features.0", "RGB", "BGR"),
    "flatten in another order": fault(model(FLATTEN, "x = paddle.flatten(x.transpose([0, 2, 3, 1]), 1)"), "classifier.0", "order"),
    "softmax in the network": fault(model(FORWARD, FORWARD.replace("self.classifier(x)", "paddle.nn.functional.softmax(self.classifier(x))")), "the output", "softmax"),
    "convolution by a function, other padding": fault(
        features("paddle", 0, "x = f[1:](F.conv2d(x, f[0].weight, f[0].bias, stride=4, padding=3))"),
        "features.0", "padding [2, 2]", "F.conv2d", "set padding=2",
        torch=features("torch", 1, "x = f[1:](x)")),
    "average pooling by a function": fault(
        features("paddle", 2, "x = f[3:](F.avg_pool2d(x, 3, 2, padding=1))"),
        "features.3", "F.avg_pool2d", "count_include_pad", "exclusive=False",
        torch=features("torch", 2, "x = f[3:](F.avg_pool2d(x, 3, 2, padding=1))")),
    "epsilon of a function": (*norm_function("self.training, epsilon=1e-4"), "features.1", ["F.batch_norm", "epsilon=1e-05"]),
    "batch statistics by a function": (*norm_function("True"), "features.1", ["training False in PyTorch, True in PaddlePaddle", "training=self.training"]),
    "linear by a function, transposed": fault(classifier(4, "return c[5:](F.linear(x, c[4].weight.T, c[4].bias))"), "classifier.4", "weight transposed"),
    "linear by a function, no bias": fault(classifier(6, "return F.linear(x, c[6].weight)"), "classifier.6", "bias given", "None in PaddlePaddle"),
    "a subclass that transposes": fault(
        [Edit("", "class Other(nn.Linear):\n    def forward(self, x):\n        return x @ self.weight.T + self.bias", "AlexNet"), *model("nn.Linear(4096, 4096)", "Other(4096, 4096)")],
        "classifier.4", "weight transposed", "Other(32, 32)"),
    "response normalization": fault(model(CONV1, CONV1 + ", nn.LocalResponseNorm(5, alpha=1e-3)"),
        "features.1", "alpha 0.0001 in PyTorch", "set alpha=0.0001",
        torch=model(on_torch(CONV1), on_torch(CONV1) + ", nn.LocalResponseNorm(5)")),
    "batch statistics always": fault(model(CONV1, CONV1 + ", nn.BatchNorm2D(64, use_global_stats=False)"), "features.1", "use_global_stats", torch=NORM["torch"]),
    "normalization after the ReLU": fault(model(CONV1 + ", nn.ReLU()", CONV1 + ",\nnn.ReLU(), nn.BatchNorm2D(64)"), "features.1", "another order", torch=NORM["torch"]),
    "maximum for mean": fault(model("nn.AdaptiveAvgPool2D((6, 6))", "nn.AdaptiveMaxPool2D((6, 6))"), "avgpool", "AdaptiveAvgPool2d", "AdaptiveMaxPool2D"),
    "a layer twice": fault(classifier(5, "return c[5:](c[4](x))"), "classifier.4", "classifier.4 (Linear) again", "c[4](x)"),
    "a residual gained": fault(classifier(4, "return c[5:](x + c[4](x))"), "classifier.5", "plus the output of classifier.2"),
    "weights shared": fault(
        model(DROPOUT2, TWO) + before(INIT, "self.classifier[6].weight = self.classifier[4].weight"),
        "classifier.6", "one tensor in PaddlePaddle",
        torch=model(DROPOUT2, TWO)),
    "a layer in a plain list": fault(
        model(LAST, "") + before(INIT, "self.last = [nn.Linear(4096, num_classes)]") + classifier(6, "return self.last[0](x)"),
        "classifier.6", "without counterpart", "plain list"),
    "two biases exchanged": fault(
        [Edit(OWN, "one, two = 'features.8.bias', 'features.10.bias'\nweights[one], weights[two] = weights[two], weights[one]\n" + OWN)],
        "features.8", "features.10.bias", "each other's place"),
    "loaded as float16": fault([Edit(OWN, "weights = {k: v.astype('float16').astype('float32') for k, v in weights.items()}\n" + OWN)], "features.0", "rounded to float16"),
    "a coarser format within": fault(model(AVGPOOL, "x = self.avgpool(x).astype('float16').astype(x.dtype)"), "classifier.0", "avgpool"),
}  # fmt: skip

# Of the paper's network. name: (edits of the Paddle tree, where, words of the cause or the fix)
PAPER_FAULTS = {
    "response normalization: the paper's alpha as it stands": ([Edit("5 * 1e-4", "1e-4")], "features.2", ["where the paper has the sum", "alpha=0.0005"]),
    "response normalization: size": ([Edit("size=5", "size=3")], "features.2", ["size=5"]),
    "response normalization: beta": ([Edit("beta=0.75", "beta=0.5")], "features.2", ["beta=0.75"]),
    "response normalization: k": ([Edit("k=2.0", "k=1.0")], "features.2", ["k=2.0"]),
}  # fmt: skip

# Another spelling of the same network: renamed layers, functions in place of layers.
OTHER_SPELLING = [
    *model("self.features", "self.body", every=True),
    *model("self.classifier", "self.head", every=True),
    *model(f"{AVGPOOL}\n{FLATTEN}", "x = self.flat(self.avgpool(x))"),
    *before("self.avgpool = nn.AdaptiveAvgPool2D((6, 6))", "self.flat = nn.Flatten()"),
    *model(f"nn.ReLU(), {LAST}", ""),
    *before(INIT, f"self.last = {LAST}"),
    *model("return self.head(x)", "return self.last(paddle.nn.functional.relu(self.head(x)))"),
]
ALL_FUNCTIONS = features(
    "paddle",
    0,
    "x = F.relu(F.conv2d(x, f[0].weight, f[0].bias, 4, 2))\nx = f[3:](F.max_pool2d(x, 3, 2))",
) + classifier(
    0,
    "x = F.relu(F.linear(F.dropout(x, 0.5, training=self.training), c[1].weight, c[1].bias))\n"
    "x = F.dropout(x, 0.5, training=self.training) @ c[4].weight + c[4].bias\n"
    "return c[6](x.clip(min=0))",
)
LAYERS = ", nn.GroupNorm(4, 64), nn.LeakyReLU(0.1), nn.ELU(), nn.LocalResponseNorm(5), nn.GELU()"
CONTROLS = {
    "by functions": (ALL_FUNCTIONS, features("torch", 0, "x = f(x)"), ["--image-size", 64]),
    "normalized by a function": (*norm_function("training=self.training"), ["--image-size", 64]),
    "other layers": (model(CONV1, CONV1 + LAYERS),
        model(on_torch(CONV1), on_torch(CONV1) + LAYERS),
        ["--image-size", 64]),
    "the last layer is made first": (
        model(LAST, "") + model("super().__init__()", f"super().__init__()\nself.head = {LAST}") + classifier(6, "return self.head(x)"),
        [],
        ["--image-size", 64]),
    "as it is": ([], [], ["--seed", 1, "--num-classes", 2]),
    "other spelling": (OTHER_SPELLING, [], ["--seed", 2]),
    "batch 1, 127 pixels": ([], [], ["--seed", 3, "--batch-size", 1, "--image-size", 127]),
    "with normalization": (NORM["paddle"], NORM["torch"], ["--batch-size", 7, "--image-size", 64]),
}  # fmt: skip
