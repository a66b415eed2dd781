# ruff: noqa: E501 (a line for each)
"""Wrong ports of the homework: mistakes of known families, to be made of the right one."""

from tests.support.planting import Edit

IMPORTS = "import math\n\nimport paddle\nfrom paddle import nn"
FIRST = "nn.Conv2D(inputs, outputs, 3, stride=stride, padding=1, bias_attr=False)"
SECOND = "nn.Conv2D(outputs, outputs, 3, padding=1, bias_attr=False)"
SHORT = "nn.Conv2D(inputs, outputs, 1, stride=stride, bias_attr=False)"
NORM = "nn.BatchNorm2D(outputs, epsilon=1e-5, momentum=0.9)"
BN2 = f"self.bn2 = {NORM}"
SUM = "return self.relu(y + self.shortcut(x))"
STEP, CLEAR, MOVE = "optimizer.step()", "optimizer.clear_grad()", "scheduler.step()"
LOSS = "nn.CrossEntropyLoss(label_smoothing=smoothing)"
LOSS_SUM = "criterion(logits, labels).item() * len(labels)"
SEEN = "seen += len(labels)"
SUMS = "loss_sum, correct1, correct5, seen"
BIASES = '{"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0}'
GROUPS = f'parameters=[\n    {{"params": [p for p in parameters if p.ndim > 1]}},\n    {BIASES},\n]'
RESULTS = 'return {"val_loss": loss_sum / seen, "val_top1": 100 * correct1 / seen, "val_top5": 100 * correct5 / seen}'


def edit(old, new, within="", every=False):
    return [Edit(old, new, within, every)]


# name: (edits, the checkpoint that loses its points, words of place, cause or line, those that wait)
AFTER_FORWARD = ("backward", "training")
WRONG = {
    # the network
    "bias=False lost": (edit(f"self.conv1 = {FIRST}", f"self.conv1 = {FIRST.replace(', bias_attr=False', '')}"), "forward", ["conv1", "bias"], AFTER_FORWARD),
    "stride on the second convolution": (
        edit(f"self.conv1 = {FIRST}", f"self.conv1 = {FIRST.replace(' stride=stride,', '')}")
        + edit(f"self.conv2 = {SECOND}", f"self.conv2 = {SECOND.replace('3, ', '3, stride=stride, ')}"),
        "forward", ["stage2.0.conv1", "stride"], AFTER_FORWARD),
    "stride of the shortcut": (edit(SHORT, SHORT.replace(" stride=stride,", "")), "forward", ["stage2.0"], AFTER_FORWARD),
    "epsilon": (edit(BN2, BN2.replace("1e-5", "1e-3")), "forward", ["bn2", "eps"], AFTER_FORWARD),
    "no ReLU after the sum": (edit(SUM, "return y + self.shortcut(x)"), "forward", ["ReLU"], AFTER_FORWARD),
    "ReLU before the sum": (edit(SUM, "return self.relu(y) + self.shortcut(x)"), "forward", ["stage1"], AFTER_FORWARD),
    "no shortcut": (edit(SUM, "return self.relu(y)"), "forward", ["stage"], AFTER_FORWARD),
    "shortcut without normalization": (edit(f"{SHORT}, {NORM}", SHORT), "forward", ["shortcut"], AFTER_FORWARD),
    "padding of the stem's pool": (edit("nn.MaxPool2D(3, stride=2, padding=1)", "nn.MaxPool2D(3, stride=2, ceil_mode=True)"), "forward", ["stem.3", "padding"], AFTER_FORWARD),
    "average over seven pixels": (edit("nn.AdaptiveAvgPool2D(1)", "nn.AvgPool2D(7)"), "forward", ["ool"], ()),
    "maximum for mean": (edit("nn.AdaptiveAvgPool2D(1)", "nn.AdaptiveMaxPool2D(1)"), "forward", ["pool"], AFTER_FORWARD),
    "the width is fixed": (edit("super().__init__()", "super().__init__()\nwidth = 64", "ResNet18"), "forward", ["width"], AFTER_FORWARD),
    "another default": (edit("64", "32", "ResNet18.__init__"), "forward", ["without arguments"], ()),
    "momentum of batch normalization": (edit("momentum=0.9", "momentum=0.1", every=True), "training", ["momentum"], ()),
    "graph cut": (edit("self.fc(x)", "self.fc(x.detach())"), "backward", ["no gradient"], ("training",)),
    # its start
    "Linear's inputs and outputs exchanged": (edit("math.sqrt(layer.weight.shape[0])", "math.sqrt(layer.weight.shape[1])"), "init", ["fc"], ()),
    "fan_in for fan_out": (edit("layer.weight.shape[0] * math.prod(layer.weight.shape[2:])", "layer.weight.shape[1] * math.prod(layer.weight.shape[2:])"), "init", ["stem.0"], ()),
    "the framework's own start": (edit("init_weights(self)", ""), "init", ["stem.0"], ()),
    "blocks start with all they have": (edit("nn.initializer.Constant(0.0)(layer.bn2.weight)", "pass"), "init", ["bn2", "everywhere"], ()),
    # the metric
    "top-5 is top-4": (edit("k=5", "k=4"), "metric", ["val_top5"], ()),
    "mean of the batches": (edit(LOSS_SUM, "criterion(logits, labels).item()") + edit(SEEN, f"{SEEN}\nrounds = rounds + 1 if correct1 is not None else 0") + edit(f"{SUMS} = 0.0, 0, 0, 0", f"{SUMS}, rounds = 0.0, 0, 0, 0, 0") + edit("loss_sum / seen", "loss_sum / rounds"), "metric", ["val_loss", "batches"], ()),
    "fractions": (edit("100 * correct1", "correct1") + edit("100 * correct5", "correct5"), "metric", ["val_top1", "fraction"], ()),
    "ties": (edit("(order[:, :k] == labels.unsqueeze(1)).any(axis=1).sum()", "(((logits > logits.take_along_axis(labels.unsqueeze(1), axis=1)).sum(1)) < k).sum()"), "metric", ["ties counted as correct"], ()),
    "measured in training mode": (edit("model.eval()", ""), "metric", ["train mode"], ()),
    # the loss
    "loss summed": (edit(LOSS, 'nn.CrossEntropyLoss(label_smoothing=smoothing, reduction="sum")'), "loss", ["summed"], AFTER_FORWARD),
    "softmax twice": (edit(f"return {LOSS}", f"loss = {LOSS}\nreturn lambda logits, labels: loss(nn.functional.softmax(logits), labels)"), "loss", ["softmax twice"], AFTER_FORWARD),
    "no label smoothing": (edit("label_smoothing=smoothing", ""), "loss", ["label smoothing"], ()),
    # the step
    "gradients not cleared": (edit(CLEAR, ""), "optimizer", ["gradient"], ("training",)),
    "schedule not stepped": (edit(MOVE, ""), "lr", ["never changes"], ()),
    "schedule stepped before the optimizer": (edit(MOVE, "") + edit(STEP, f"{MOVE}\n{STEP}"), "lr", ["one step early"], ()),
    "gradients scaled": (edit("loss.backward()", "(2 * loss).backward()"), "backward", ["2 times"], ("training",)),
    # optimizer and schedule
    "no weight decay": (edit("weight_decay=args.weight_decay", ""), "optimizer", ["weight decay"], ("training",)),
    "everything decays": (edit(BIASES, BIASES.replace(', "weight_decay": 0.0', "")), "optimizer", ["weight decay", "bn1"], ("training",)),
    "no momentum": (edit("momentum=args.momentum", "momentum=0.0"), "optimizer", ["momentum"], ("training",)),
    "Nesterov ignored": (edit("use_nesterov=args.nesterov", ""), "optimizer", ["Nesterov"], ()),
    "normalizations left out": (edit(BIASES, ""), "optimizer", ["does not move"], ("training",)),
    "the optimizer takes a number": (edit(f"scheduler, {GROUPS}", f"lr,\n{GROUPS}"), "lr", ["not attached"], ()),
    "the rate is not scaled": (edit("args.lr * world_size / args.gpus", "args.lr"), "lr", ["8 times"], ()),
    "another warm-up": (edit("WARMUP_START * lr, lr", "0.0, lr"), "lr", ["warm-up"], ()),
    "warm-up in the wrong order": (edit("scheduler, warmup_steps", "lr, warmup_steps"), "lr", ["cosine with warm-up"], ()),
    "epochs for steps": (edit("args.lr_step_size * steps_per_epoch", "args.lr_step_size"), "lr", ["step"], ()),
}  # fmt: skip

# Ports that are no work of the student's, or break a rule: edits, words of the cause.
FORBIDDEN = {
    "the library's network": (edit(IMPORTS, f"{IMPORTS}\nfrom paddle.vision.models import resnet18"), ["models/resnet.py:", "paddle.vision.models.resnet18"]),
    "the library's network by another name": (edit(IMPORTS, IMPORTS.replace("paddle\n", "paddle\nimport paddle as p\n") + "\n\nresnet18 = p.vision.models.resnet18"), ["models/resnet.py:", "uses p.vision"]),
    "the other framework": (edit("import math", "import math\nimport torch"), ["imports torch"]),
    "a module by its name": (edit("import math", 'import math\n\ntorch = __import__("torch")'), ["uses __import__"]),
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
NAMES = {
    **{f"self.stage{n}": f"self.layer{n}" for n in (1, 2, 3, 4)},
    **{f"self.conv{n}": f"self.c{n}" for n in (1, 2)},
    **{f"{one}.bn2": f"{one}.second_norm" for one in ("self", "layer")},
    "self.bn1": "self.first_norm",
    "self.stem": "self.begin",
    "self.shortcut": "self.downsample",
    "self.fc": "self.head",
}
SPELLINGS = {
    "other names": [Edit(old, new, every=True) for old, new in NAMES.items()],
    "functions for layers": [
        Edit("self.relu = nn.ReLU()", ""),
        Edit("self.relu", "nn.functional.relu", every=True),
        Edit("paddle.flatten(self.pool(x), 1)", "x.mean(axis=[2, 3])"),
        Edit("self.pool = nn.AdaptiveAvgPool2D(1)", ""),
    ],
    "no Identity, layers made in another order": [
        Edit("self.shortcut = nn.Identity()", "self.shortcut = None"),
        Edit("y + self.shortcut(x)", "y + (x if self.shortcut is None else self.shortcut(x))"),
        Edit("self.fc = nn.Linear(8 * width, num_classes)", ""),
        Edit("super().__init__()", "super().__init__()\nself.fc = nn.Linear(8 * width, num_classes)", "ResNet18"),
    ],
    "sums that are tensors, decay as an object": [
        Edit("weight_decay=args.weight_decay", "weight_decay=L2Decay(args.weight_decay)"),
        Edit("from paddle.optimizer import Momentum", "from paddle.optimizer import Momentum\nfrom paddle.regularizer import L2Decay"),
        Edit(LOSS_SUM, "float(criterion(logits, labels)) * logits.shape[0]"),
        Edit("model.eval()", "was_training = model.training\nmodel.eval()"),
        Edit(RESULTS, f"if was_training:\n    model.train()\n{RESULTS}"),
    ],
}  # fmt: skip
