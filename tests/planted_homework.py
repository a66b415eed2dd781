# ruff: noqa: E501 (a line for each)
"""Wrong ports of the homework: mistakes of known families, to be made of the right one."""

MODEL, METRIC, LOOP, OPTIM = "models/resnet.py", "metric.py", "loop.py", "optim.py"
FIRST = "nn.Conv2D(inputs, outputs, 3, stride=stride, padding=1, bias_attr=False)"
SECOND = "nn.Conv2D(outputs, outputs, 3, padding=1, bias_attr=False)"
SHORT = "nn.Conv2D(inputs, outputs, 1, stride=stride, bias_attr=False)"
NORM = "nn.BatchNorm2D(outputs, epsilon=1e-5, momentum=0.9)"
BN1, BN2 = f"self.bn1 = {NORM}", f"self.bn2 = {NORM}"
SUM = "        return self.relu(y + self.shortcut(x))"
STEP, CLEAR = "    optimizer.step()\n", "    optimizer.clear_grad()\n"
MOVE = "    scheduler.step()\n"
GROUPS = """parameters=[
            {"params": [one for one in parameters if one.ndim > 1]},
            {"params": [one for one in parameters if one.ndim <= 1], "weight_decay": 0.0},
        ]"""


def edit(file, old, new):
    return [(file, old, new)]


# name: (edits, the checkpoint that loses its points, words of place, cause or line, those that wait)
AFTER_FORWARD = ("backward", "training")
WRONG = {
    # the network
    "bias=False lost": (edit(MODEL, f"self.conv1 = {FIRST}", f"self.conv1 = {FIRST.replace(', bias_attr=False', '')}"), "forward", ["conv1", "bias"], AFTER_FORWARD),
    "stride on the second convolution": (
        edit(MODEL, f"self.conv1 = {FIRST}", f"self.conv1 = {FIRST.replace(' stride=stride,', '')}")
        + edit(MODEL, f"self.conv2 = {SECOND}", f"self.conv2 = {SECOND.replace('3, ', '3, stride=stride, ')}"),
        "forward", ["stage2.0.conv1", "stride"], AFTER_FORWARD),
    "stride of the shortcut": (edit(MODEL, SHORT, SHORT.replace(" stride=stride,", "") ), "forward", ["stage2.0"], AFTER_FORWARD),
    "epsilon": (edit(MODEL, BN2, BN2.replace("1e-5", "1e-3")), "forward", ["bn2", "eps"], AFTER_FORWARD),
    "no ReLU after the sum": (edit(MODEL, SUM, "        return y + self.shortcut(x)"), "forward", ["ReLU"], AFTER_FORWARD),
    "ReLU before the sum": (edit(MODEL, SUM, "        return self.relu(y) + self.shortcut(x)"), "forward", ["stage1"], AFTER_FORWARD),
    "no shortcut": (edit(MODEL, SUM, "        return self.relu(y)"), "forward", ["stage"], AFTER_FORWARD),
    "shortcut without normalization": (edit(MODEL, f"                {NORM},\n", ""), "forward", ["shortcut"], AFTER_FORWARD),
    "padding of the stem's pool": (edit(MODEL, "nn.MaxPool2D(3, stride=2, padding=1)", "nn.MaxPool2D(3, stride=2, ceil_mode=True)"), "forward", ["stem.3", "padding"], AFTER_FORWARD),
    "average over seven pixels": (edit(MODEL, "nn.AdaptiveAvgPool2D(1)", "nn.AvgPool2D(7)"), "forward", ["ool"], ()),
    "maximum for mean": (edit(MODEL, "nn.AdaptiveAvgPool2D(1)", "nn.AdaptiveMaxPool2D(1)"), "forward", ["pool"], AFTER_FORWARD),
    "the width is fixed": (edit(MODEL, "        super().__init__()\n        self.stem", "        super().__init__()\n        width = 64\n        self.stem"), "forward", ["width"], AFTER_FORWARD),
    "another default": (edit(MODEL, "width: int = 64", "width: int = 32"), "forward", ["without arguments"], ()),
    "momentum of batch normalization": (edit(MODEL, "momentum=0.9", "momentum=0.1"), "training", ["momentum"], ()),
    "graph cut": (edit(MODEL, "        return self.fc(x)", "        return self.fc(x.detach())"), "backward", ["no gradient"], ("training",)),
    # its start
    "Linear's inputs and outputs exchanged": (edit(MODEL, "math.sqrt(layer.weight.shape[0])", "math.sqrt(layer.weight.shape[1])"), "init", ["fc"], ()),
    "fan_in for fan_out": (edit(MODEL, "layer.weight.shape[0] * math", "layer.weight.shape[1] * math"), "init", ["stem.0"], ()),
    "the framework's own start": (edit(MODEL, "        init_weights(self)\n", ""), "init", ["stem.0"], ()),
    "blocks start with all they have": (edit(MODEL, "nn.initializer.Constant(0.0)(layer.bn2.weight)", "pass"), "init", ["bn2", "everywhere"], ()),
    # the metric
    "top-5 is top-4": (edit(LOOP, "k=5", "k=4"), "metric", ["val_top5"], ()),
    "mean of the batches": (edit(LOOP, "criterion(logits, labels).item() * len(labels)", "criterion(logits, labels).item()") + edit(LOOP, "        seen += len(labels)\n", "        seen += len(labels)\n        rounds = rounds + 1 if correct1 is not None else 0\n") + edit(LOOP, "loss_sum, correct1, correct5, seen = 0.0, 0, 0, 0", "loss_sum, correct1, correct5, seen, rounds = 0.0, 0, 0, 0, 0") + edit(LOOP, "loss_sum / seen", "loss_sum / rounds"), "metric", ["val_loss", "batches"], ()),
    "fractions": (edit(LOOP, "100 * ", ""), "metric", ["val_top1", "fraction"], ()),
    "ties": (edit(METRIC, "(order[:, :k] == labels.unsqueeze(1)).any(axis=1).sum()", "(((logits > logits.take_along_axis(labels.unsqueeze(1), axis=1)).sum(1)) < k).sum()"), "metric", ["ties counted as correct"], ()),
    "measured in training mode": (edit(LOOP, "    model.eval()\n", ""), "metric", ["train mode"], ()),
    # the loss
    "loss summed": (edit(LOOP, "nn.CrossEntropyLoss(label_smoothing=smoothing)", 'nn.CrossEntropyLoss(label_smoothing=smoothing, reduction="sum")'), "loss", ["summed"], AFTER_FORWARD),
    "softmax twice": (edit(LOOP, "return nn.CrossEntropyLoss(label_smoothing=smoothing)", "loss = nn.CrossEntropyLoss(label_smoothing=smoothing)\n    return lambda logits, labels: loss(nn.functional.softmax(logits), labels)"), "loss", ["softmax twice"], AFTER_FORWARD),
    "no label smoothing": (edit(LOOP, "label_smoothing=smoothing", ""), "loss", ["label smoothing"], ()),
    # the step
    "gradients not cleared": (edit(LOOP, CLEAR, ""), "optimizer", ["gradient"], ("training",)),
    "schedule not stepped": (edit(LOOP, MOVE, ""), "lr", ["never changes"], ()),
    "schedule stepped before the optimizer": (edit(LOOP, MOVE, "") + edit(LOOP, STEP, MOVE + STEP), "lr", ["one step early"], ()),
    "gradients scaled": (edit(LOOP, "    loss.backward()", "    (2 * loss).backward()"), "backward", ["2 times"], ("lr", "optimizer", "training")),
    # optimizer and schedule
    "no weight decay": (edit(OPTIM, "        weight_decay=args.weight_decay,\n", ""), "optimizer", ["weight decay"], ("training",)),
    "everything decays": (edit(OPTIM, ', "weight_decay": 0.0}', "}"), "optimizer", ["weight decay", "bn1"], ("training",)),
    "no momentum": (edit(OPTIM, "        momentum=args.momentum,\n", "        momentum=0.0,\n"), "optimizer", ["momentum"], ("training",)),
    "Nesterov ignored": (edit(OPTIM, "        use_nesterov=args.nesterov,\n", ""), "optimizer", ["Nesterov"], ()),
    "normalizations left out": (edit(OPTIM, '\n            {"params": [one for one in parameters if one.ndim <= 1], "weight_decay": 0.0},', ""), "optimizer", ["does not move"], ("training",)),
    "the optimizer takes a number": (edit(OPTIM, "    optimizer = Momentum(\n        scheduler,", "    optimizer = Momentum(\n        lr,"), "lr", ["not attached"], ()),
    "the rate is not scaled": (edit(OPTIM, "return args.lr * world_size / args.gpus", "return args.lr"), "lr", ["8 times"], ()),
    "another warm-up": (edit(OPTIM, "WARMUP_START * lr, lr)", "0.0, lr)"), "lr", ["warm-up"], ()),
    "warm-up in the wrong order": (edit(OPTIM, "LinearWarmup(scheduler, warmup_steps", "LinearWarmup(lr, warmup_steps"), "lr", ["cosine with warm-up"], ()),
    "epochs for steps": (edit(OPTIM, "args.lr_step_size * steps_per_epoch", "args.lr_step_size"), "lr", ["step"], ()),
}  # fmt: skip

# Ports that are no work of the student's, or break a rule: edits, words of the cause.
FORBIDDEN = {
    "the library's network": (edit(MODEL, "from paddle import nn\n", "from paddle import nn\nfrom paddle.vision.models import resnet18\n"), ["models/resnet.py:", "paddle.vision.models.resnet18"]),
    "the library's network by another name": (edit(MODEL, "from paddle import nn\n", "import paddle as p\nfrom paddle import nn\n\nresnet18 = p.vision.models.resnet18\n"), ["models/resnet.py:", "uses p.vision"]),
    "the other framework": (edit(MODEL, "import math\n", "import math\nimport torch\n"), ["imports torch"]),
    "a module by its name": (edit(MODEL, "import math\n", 'import math\n\ntorch = __import__("torch")\n'), ["uses __import__"]),
}  # fmt: skip

# Several mistakes in one port, each of which costs its own checkpoint.
TOGETHER = [
    ("Linear's inputs and outputs exchanged", "top-5 is top-4", "no label smoothing", "the rate is not scaled", "no weight decay"),
    ("no ReLU after the sum", "ties", "loss summed", "schedule not stepped", "normalizations left out"),
]  # fmt: skip
SELDOM_TOGETHER = [
    ("momentum of batch normalization", "blocks start with all they have", "measured in training mode"),
    ("stride on the second convolution", "fractions", "the optimizer takes a number", "everything decays"),
]  # fmt: skip

# Right ports in another spelling: they have all points.
RENAMED = [
    (MODEL, old, new)
    for old, new in [("self.stem", "self.begin"), ("self.stage", "self.layer"), ("self.shortcut", "self.downsample"), ("self.fc", "self.head"), (".bn2", ".second_norm"), ("self.conv", "self.c"), ("self.bn1", "self.first_norm")]
]  # fmt: skip
SPELLINGS = {
    "other names": RENAMED,
    "functions for layers": [
        (MODEL, "        self.relu = nn.ReLU()\n", ""),
        (MODEL, "self.relu(", "nn.functional.relu("),
        (MODEL, "paddle.flatten(self.pool(x), 1)", "x.mean(axis=[2, 3])"),
        (MODEL, "        self.pool = nn.AdaptiveAvgPool2D(1)  # [N, 512, 1, 1] for any H and W\n", ""),
    ],
    "no Identity, layers made in another order": [
        (MODEL, "        self.shortcut = nn.Identity()\n", "        self.shortcut = None\n"),
        (MODEL, "y + self.shortcut(x)", "y + (x if self.shortcut is None else self.shortcut(x))"),
        (MODEL, "        self.fc = nn.Linear(8 * width, num_classes)\n", ""),
        (MODEL, "        self.stem = ", "        self.fc = nn.Linear(8 * width, num_classes)\n        self.stem = "),
    ],
    "sums that are tensors, decay as an object": [
        (OPTIM, "weight_decay=args.weight_decay", "weight_decay=L2Decay(args.weight_decay)"),
        (OPTIM, "from paddle.optimizer import Momentum\n", "from paddle.optimizer import Momentum\nfrom paddle.regularizer import L2Decay\n"),
        (LOOP, "criterion(logits, labels).item() * len(labels)", "float(criterion(logits, labels)) * logits.shape[0]"),
        (LOOP, "    model.eval()\n", "    was_training = model.training\n    model.eval()\n"),
        (LOOP, "        seen += len(labels)\n    return", "        seen += len(labels)\n    if was_training:\n        model.train()\n    return"),
    ],
}  # fmt: skip
