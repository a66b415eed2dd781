"""Faults of loss, metric, gradients, optimizer, schedule and resume: a line for each."""

TRAIN, OPTIM, MODEL, CHECKPOINT, METRIC = (
    "train.py",
    "optim.py",
    "models/alexnet.py",
    "checkpoint.py",
    "metric.py",
)
FORWARD = "        x = self.avgpool(x)"
CLIP = "        paddle.nn.utils.clip_grad_norm_(model.parameters(), 1e-3)\n    optimizer.step()"


def edit(file, old, new):
    return [(file, old, new)]


# name: (edits of the Paddle tree, checkpoint, words of where, cause or fix)
FAULTS = {
    "softmax twice": (edit(TRAIN, "nn.CrossEntropyLoss()", "(lambda x, y: nn.functional.cross_entropy(nn.functional.softmax(x), y))"), "loss", ["softmax twice"]),
    "no softmax": (edit(TRAIN, "nn.CrossEntropyLoss()", "nn.CrossEntropyLoss(use_softmax=False)"), "loss", ["no softmax"]),
    "loss summed": (edit(TRAIN, "nn.CrossEntropyLoss()", "nn.CrossEntropyLoss(reduction='sum')"), "loss", ["summed", "reduction"]),
    "label smoothing": (edit(TRAIN, "nn.CrossEntropyLoss()", "nn.CrossEntropyLoss(label_smoothing=0.1)"), "loss", ["label smoothing 0.1"]),
    "metric as a fraction": (edit(TRAIN, '"val_top1": 100 * correct1', '"val_top1": correct1'), "metric", ["val_top1", "a fraction, not per cent"]),
    "metric averaged over batches": (
        edit(TRAIN, "        correct1 += metric.count_correct(logits, labels, k=1)\n", "        correct1 = correct1 + metric.count_correct(logits, labels, k=1).astype('float64') * seen_all / len(labels)\n")
        + edit(TRAIN, "    model.eval()\n    loss_sum", "    model.eval()\n    seen_all = len(loader.dataset) / SIZES\n    loss_sum")
        + edit(TRAIN, "REFRESH = 10", "SIZES = 3\nREFRESH = 10"),
        "metric", ["val_top1"]),
    "top-5 is top-4": (edit(TRAIN, "k=5", "k=4"), "metric", ["val_top5"]),
    "ties count": (edit(METRIC, "(logits == score) & (classes >= labels.unsqueeze(1))", "logits == score"), "metric", ["ties counted as correct"]),
    "graph cut": (edit(MODEL, FORWARD, "        x = self.avgpool(x).detach()"), "backward", ["no gradient", "features.10.bias", "detach"]),
    "a layer frozen": (edit(MODEL, "        self.apply(init_weights)", "        self.apply(init_weights)\n        self.features[3].weight.stop_gradient = True"), "backward", ["features.3.weight", "no gradient", "stop_gradient"]),
    "gradient scaled": (edit(TRAIN, "    loss.backward()", "    (2 * loss).backward()"), "backward", ["2 times PyTorch's"]),
    "layer left out of the optimizer": (edit(OPTIM, "parameters=model.parameters()", "parameters=model.classifier.parameters()"), "optimizer", ["features.0.weight", "does not move"]),
    "no momentum": (edit(OPTIM, "momentum=args.momentum", "momentum=0.0"), "optimizer", ["momentum of", "0.9 in PyTorch, 0 in PaddlePaddle"]),
    "plain SGD": (
        edit(OPTIM, "    optimizer = Momentum(\n        scheduler,\n        parameters=model.parameters(),\n        momentum=args.momentum,\n        weight_decay=args.weight_decay,\n        use_nesterov=args.nesterov,\n    )", "    import paddle\n    optimizer = paddle.optimizer.SGD(scheduler, parameters=model.parameters(), weight_decay=args.weight_decay)"),
        "optimizer", ["momentum of", "0.9 in PyTorch, 0 in PaddlePaddle"]),
    "no weight decay": (edit(OPTIM, "        weight_decay=args.weight_decay,\n", ""), "optimizer", ["weight decay", "0.1 in PyTorch, 0 in PaddlePaddle"]),
    "ten times the decay": (edit(OPTIM, "weight_decay=args.weight_decay", "weight_decay=10 * args.weight_decay"), "optimizer", ["weight decay", "0.1 in PyTorch, 1 in PaddlePaddle"]),
    "decoupled decay": (
        edit(OPTIM, "        weight_decay=args.weight_decay,\n", "")
        + edit(TRAIN, "    optimizer.step()\n", "    optimizer.step()\n    with paddle.no_grad():\n        for value in optimizer._parameter_list:\n            value.set_value(value * (1 - optimizer.get_lr() * 0.1))\n"),
        "optimizer", ["decay"]),
    "Nesterov ignored": (edit(OPTIM, "use_nesterov=args.nesterov", "use_nesterov=False"), "optimizer", ["Nesterov", "on in PyTorch, off in PaddlePaddle"]),
    "Adam": (
        edit(OPTIM, "    optimizer = Momentum(\n        scheduler,\n        parameters=model.parameters(),\n        momentum=args.momentum,\n        weight_decay=args.weight_decay,\n        use_nesterov=args.nesterov,\n    )", "    import paddle\n    optimizer = paddle.optimizer.Adam(scheduler, parameters=model.parameters(), weight_decay=args.weight_decay)"),
        "optimizer", ["not that of momentum SGD"]),
    "schedule not attached": (edit(OPTIM, "    optimizer = Momentum(\n        scheduler,", "    optimizer = Momentum(\n        lr,"), "lr", ["not attached"]),
    "schedule not stepped": (edit(TRAIN, "    scheduler.step()\n", ""), "lr", ["never changes", "scheduler.step()"]),
    "another step size": (edit(OPTIM, "args.lr_step_size * steps_per_epoch", "2 * args.lr_step_size * steps_per_epoch"), "lr", ["step size"]),
    "another factor": (edit(OPTIM, "args.lr_gamma)", "args.lr_gamma / 2)"), "lr", ["gamma"]),
    "another warm-up": (edit(OPTIM, "WARMUP_START = 0.01", "WARMUP_START = 0.1"), "lr", ["cosine with warm-up"]),
    "rate not scaled": (edit(OPTIM, "return args.lr * world_size / args.gpus", "return args.lr"), "lr", ["8 times", "scale"]),
    "resume loses the velocity": (edit(CHECKPOINT, "        optimizer.set_state_dict(rename(contents[\"optimizer\"], own_names))\n", ""), "resume", ["velocity"]),
    "resume loses the epoch": (edit(TRAIN, '        epoch, best_top1 = contents["epoch"], contents["best_top1"]', '        best_top1 = contents["best_top1"]'), "resume", ["epoch is lost"]),
    "bias starts at 0": (edit(MODEL, "nn.initializer.Uniform(-bound, bound)(layer.bias)", "nn.initializer.Constant(0.0)(layer.bias)"), "init", ["0 everywhere", "bias"]),
    "the framework's own start": (edit(MODEL, "        self.apply(init_weights)\n", ""), "init", ["deviation"]),
    "gradients clipped": (edit(TRAIN, "    optimizer.step()", "    paddle.nn.utils.clip_grad_norm_(optimizer._parameter_list, 1e-3)\n    optimizer.step()"), "backward", ["times PyTorch's", "clipping"]),
    "dropout missing": (edit(MODEL, "nn.Dropout(dropout),\n            nn.Linear(4096, 4096),", "nn.Identity(),\n            nn.Linear(4096, 4096),"), "training", ["forward"]),
    "no train mode": (edit(TRAIN, "    model.train()\n", "    model.eval()\n"), "training", ["eval mode in PaddlePaddle"]),
}  # fmt: skip
