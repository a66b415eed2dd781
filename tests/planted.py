"""Faults, and correct ports, to be made of a tree by editing its text; a line for each."""

MODEL, LOAD = "models/alexnet.py", "checkpoint.py"
CONV1 = "nn.Conv2D(3, 64, kernel_size=11, stride=4, padding=2),"
POOL1 = "nn.MaxPool2D(kernel_size=3, stride=2),  # [N, 64, 27, 27]"
DROPOUT2 = "nn.Dropout(dropout),\n            nn.Linear(4096, 4096),"
FLATTEN = "x = paddle.flatten(x, 1)  # [N, 9216]"
FORWARD = "        return self.classifier(x)  # [N, num_classes]"
LAST = "nn.Linear(4096, num_classes),"
NORM = {
    "torch": [
        (MODEL, CONV1.replace("2D", "2d"), CONV1.replace("2D", "2d") + " nn.BatchNorm2d(64),")
    ],
    "paddle": [(MODEL, CONV1, CONV1 + " nn.BatchNorm2D(64),")],
}


def model(old, new):
    return [(MODEL, old, new)]


# name: (edits of the Paddle tree, edits of the torch tree, where, words of the cause or the fix)
FAULTS = {
    "linear not transposed": (
        [(LOAD, "weights[name].T.copy()", "weights[name]")],
        [],
        "classifier.1",
        ["transpose"],
    ),
    "square linear not transposed": (
        [(LOAD, "weights[name].T.copy()", "weights[name].T.copy() if '4' not in name else weights[name]")],
        [],
        "classifier.4",
        ["classifier.4.weight", "transpose"],
    ),
    "key not loaded": (
        [(LOAD, "    model.set_state_dict(weights)\n\n\n", "    weights.pop('features.3.bias')\n    model.set_state_dict(weights)\n\n\n")],
        [],
        "features.3",
        ["features.3.bias", "not loaded"],
    ),
    "average pooling counts no padding": (
        model(POOL1, "nn.AvgPool2D(3, 2, padding=1, exclusive=True),"),
        model(POOL1.replace("2D", "2d"), "nn.AvgPool2d(3, 2, padding=1),"),
        "features.2",
        ["count_include_pad", "exclusive=False"],
    ),
    "bias lost": (
        model("nn.Conv2D(192, 384, kernel_size=3, padding=1)", "nn.Conv2D(192, 384, kernel_size=3, padding=1, bias_attr=False)"),
        [],
        "features.6",
        ["bias", "lost", "bias_attr"],
    ),
    "bias gained": (
        [],
        model(LAST, "nn.Linear(4096, num_classes, bias=False),"),
        "classifier.6",
        ["bias", "gained", "bias_attr=False"],
    ),
    "stride": (model("stride=4, padding=2", "stride=2, padding=2"), [], "features.0", ["stride", "[4, 4]", "[2, 2]", "alexnet.py"]),
    "padding": (model("stride=4, padding=2", "stride=4, padding=1"), [], "features.0", ["padding"]),
    "kernel": (model("nn.Conv2D(64, 192, kernel_size=5, padding=2)", "nn.Conv2D(64, 192, kernel_size=3, padding=1)"), [], "features.3", ["kernel"]),
    "pooling kernel": (model(POOL1, "nn.MaxPool2D(kernel_size=2, stride=2),"), [], "features.2", ["kernel_size"]),
    "pooling kind": (model(POOL1, "nn.AvgPool2D(kernel_size=3, stride=2),"), [], "features.2", ["MaxPool2d", "AvgPool2D"]),
    "pooling ceil_mode": (model(POOL1, "nn.MaxPool2D(kernel_size=3, stride=2, ceil_mode=True),"), [], "features.2", ["ceil_mode"]),
    "left in train mode": (
        model("    def forward(", "    def eval(self):\n        return self\n\n    def forward("),
        [],
        "classifier.0",
        ["train mode"],
    ),
    "dropout as a function, always on": (
        model(FORWARD, FORWARD.replace("self.classifier(x)", "paddle.nn.functional.dropout(self.classifier(x), 0.2)")),
        [],
        "the output",
        ["dropout", "train mode"],
    ),
    "dropout scales in evaluation": (
        model(DROPOUT2, DROPOUT2.replace("nn.Dropout(dropout)", "nn.Dropout(dropout, mode='downscale_in_infer')")),
        [],
        "classifier.3",
        ["downscale_in_infer", "upscale_in_train"],
    ),
    "dropout scales in evaluation, as a function": (
        model(FLATTEN, "x = paddle.nn.functional.dropout(paddle.flatten(x, 1), 0.3, training=self.training, mode='downscale_in_infer')"),
        [],
        "classifier.0",
        ["downscale_in_infer", "upscale_in_train"],
    ),
    "dropout missing": (model(DROPOUT2, "nn.Identity(),\n            nn.Linear(4096, 4096),"), [], "classifier.3", ["dropout", "p=0.5 in PyTorch"]),
    "dropout in another place": (
        model(DROPOUT2 + "\n            nn.ReLU(),", "nn.Linear(4096, 4096),\n            nn.ReLU(),\n            nn.Dropout(dropout),"),
        [],
        "classifier.3",
        ["dropout", "p=0.5 in PyTorch, none in PaddlePaddle"],
    ),
    "another dropout rate": (model(DROPOUT2, DROPOUT2.replace("(dropout)", "(0.1)")), [], "classifier.3", ["p", "0.5", "0.1"]),
    "epsilon": (
        model(CONV1, CONV1 + " nn.BatchNorm2D(64, epsilon=1.1e-5),"),
        NORM["torch"],
        "features.1",
        ["eps", "1e-05", "1.1e-05"],
    ),
    "pooling that agrees at 224 pixels only": (model("nn.AdaptiveAvgPool2D((6, 6))", "nn.AvgPool2D(1)"), [], "avgpool", ["AdaptiveAvgPool2d", "AvgPool2D"]),
    "pooling left out": (model("        x = self.avgpool(x)\n", ""), [], "avgpool", ["avgpool"]),
    "ReLU missing": (model("nn.ReLU(),\n            nn.Dropout(dropout),", "nn.Identity(),\n            nn.Dropout(dropout),"), [], "classifier.2", ["ReLU"]),
    "another activation": (model("nn.ReLU(),\n            nn.Dropout(dropout),", "nn.LeakyReLU(),\n            nn.Dropout(dropout),"), [], "classifier.2", ["ReLU", "LeakyReLU"]),
    "channels reversed": (model("        x = self.features(x)", "        x = self.features(x[:, [2, 1, 0]])"), [], "features.0", ["RGB", "BGR"]),
    "flatten in another order": (model(FLATTEN, "x = paddle.flatten(x.transpose([0, 2, 3, 1]), 1)"), [], "classifier.0", ["order"]),
    "softmax in the network": (model(FORWARD, FORWARD.replace("self.classifier(x)", "paddle.nn.functional.softmax(self.classifier(x))")), [], "the output", ["softmax"]),
    "a coarser format within": (model("        x = self.avgpool(x)", "        x = self.avgpool(x).astype('float16').astype(x.dtype)"), [], "classifier.0", ["avgpool"]),
}  # fmt: skip

# Another spelling of the same network: renamed layers, functions in place of layers.
OTHER_SPELLING = [
    (MODEL, "self.features", "self.body"),
    (MODEL, "self.classifier", "self.head"),
    (MODEL, "        x = self.avgpool(x)\n        x = paddle.flatten(x, 1)  # [N, 9216]\n", "        x = self.flat(self.avgpool(x))\n"),
    (MODEL, "        self.avgpool =", "        self.flat = nn.Flatten()\n        self.avgpool ="),
    (MODEL, "            nn.Linear(4096, 4096),\n            nn.ReLU(),\n            nn.Linear(4096, num_classes),\n        )",
     "            nn.Linear(4096, 4096),\n        )\n        self.last = nn.Linear(4096, num_classes)"),
    (MODEL, "return self.head(x)", "return self.last(paddle.nn.functional.relu(self.head(x)))"),
]  # fmt: skip
CONTROLS = {
    "as it is": ([], [], ["--seed", 1, "--num-classes", 2]),
    "other spelling": (OTHER_SPELLING, [], ["--seed", 2]),
    "batch 1, 127 pixels": ([], [], ["--seed", 3, "--batch-size", 1, "--image-size", 127]),
    "with normalization": (NORM["paddle"], NORM["torch"], ["--batch-size", 7, "--image-size", 64]),
}
