"""Faults of loss, metric, gradients, optimizer, schedule and resume: a line for each."""

TRAIN, OPTIM, MODEL, CHECKPOINT, METRIC = (
    "train.py",
    "optim.py",
    "models/alexnet.py",
    "checkpoint.py",
    "metric.py",
)
DISTRIBUTED, FOLDER = "distributed.py", "datasets/folder.py"
PARTS = "        batches = PartBatches(length, args.batch_size, **place)\n"
FORWARD = "        x = self.avgpool(x)"
LOSS = "nn.CrossEntropyLoss(label_smoothing=args.label_smoothing)"
STEP = "        scaler.step(optimizer)\n"
SCHEDULE = "        scheduler.step()\n"
CLEAR = "        optimizer.clear_grad()\n"
CONV1 = "nn.Conv2D(3, 64, kernel_size=11, stride=4, padding=2),"


def edit(file, old, new):
    return [(file, old, new)]


# name: (edits of the Paddle tree, checkpoint, words of where, cause or fix)
FAULTS = {
    "softmax twice": (edit(TRAIN, LOSS, "(lambda x, y: nn.functional.cross_entropy(nn.functional.softmax(x), y))"), "loss", ["softmax twice"]),
    "no softmax": (edit(TRAIN, LOSS, "nn.CrossEntropyLoss(use_softmax=False)"), "loss", ["no softmax"]),
    "loss summed": (edit(TRAIN, LOSS, "nn.CrossEntropyLoss(reduction='sum')"), "loss", ["summed", "reduction"]),
    "label smoothing": (edit(TRAIN, LOSS, "nn.CrossEntropyLoss(label_smoothing=0.1)"), "loss", ["label smoothing 0.1"]),
    "metric as a fraction": (edit(TRAIN, '"val_top1": 100 * correct1', '"val_top1": correct1'), "metric", ["val_top1", "a fraction, not per cent"]),
    "metric averaged over batches": (
        edit(TRAIN, "        correct1 += metric.count_correct(logits, labels, k=1)\n", "        correct1 = correct1 + metric.count_correct(logits, labels, k=1).astype('float64') * seen_all / len(labels)\n")
        + edit(TRAIN, "    model.eval()\n    loss_sum", "    model.eval()\n    seen_all = len(loader.dataset) / SIZES\n    loss_sum")
        + edit(TRAIN, "REFRESH = 10", "SIZES = 3\nREFRESH = 10"),
        "metric", ["val_top1"]),
    "top-5 is top-4": (edit(TRAIN, "k=5", "k=4"), "metric", ["val_top5"]),
    "ties count": (edit(METRIC, "(logits == score) & (classes >= labels.unsqueeze(1))", "logits == score"), "metric", ["ties counted as correct"]),
    "measured in training mode": (edit(TRAIN, "    model.eval()\n    loss_sum", "    loss_sum"), "metric", ["train mode in PaddlePaddle", "model.eval()", "train.py:"]),
    "graph cut": (edit(MODEL, FORWARD, "        x = self.avgpool(x).detach()"), "backward", ["no gradient", "features.10.bias", "detach"]),
    "a layer frozen": (edit(MODEL, "        self.apply(init_weights)", "        self.apply(init_weights)\n        self.features[3].weight.stop_gradient = True"), "backward", ["features.3.weight", "no gradient", "stop_gradient"]),
    "gradient scaled": (edit(TRAIN, "scaler.scale(loss * weight)", "scaler.scale(2 * loss * weight)"), "backward", ["2 times PyTorch's"]),
    "layer left out of the optimizer": (edit(OPTIM, "parameters=model.parameters()", "parameters=model.classifier.parameters()"), "optimizer", ["features.0.weight", "does not move"]),
    "no momentum": (edit(OPTIM, "momentum=args.momentum", "momentum=0.0"), "optimizer", ["momentum of", "0.9 in PyTorch, 0 in PaddlePaddle"]),
    "plain SGD": (
        edit(OPTIM, "    optimizer = Momentum(\n        scheduler,\n        parameters=model.parameters(),\n        momentum=args.momentum,\n        weight_decay=args.weight_decay,\n        use_nesterov=args.nesterov,\n    )", "    import paddle\n    optimizer = paddle.optimizer.SGD(scheduler, parameters=model.parameters(), weight_decay=args.weight_decay)"),
        "optimizer", ["momentum of", "0.9 in PyTorch, 0 in PaddlePaddle"]),
    "no weight decay": (edit(OPTIM, "        weight_decay=args.weight_decay,\n", ""), "optimizer", ["weight decay", "0.1 in PyTorch, 0 in PaddlePaddle"]),
    "ten times the decay": (edit(OPTIM, "weight_decay=args.weight_decay", "weight_decay=10 * args.weight_decay"), "optimizer", ["weight decay", "0.1 in PyTorch, 1 in PaddlePaddle"]),
    "decoupled decay": (
        edit(OPTIM, "        weight_decay=args.weight_decay,\n", "")
        + edit(TRAIN, STEP, STEP + "        with paddle.no_grad():\n            for value in optimizer._parameter_list:\n                value.set_value(value * (1 - optimizer.get_lr() * 0.1))\n"),
        "optimizer", ["decoupled", "train.py:"]),
    "Nesterov ignored": (edit(OPTIM, "use_nesterov=args.nesterov", "use_nesterov=False"), "optimizer", ["Nesterov", "on in PyTorch, off in PaddlePaddle"]),
    "Adam": (
        edit(OPTIM, "    optimizer = Momentum(\n        scheduler,\n        parameters=model.parameters(),\n        momentum=args.momentum,\n        weight_decay=args.weight_decay,\n        use_nesterov=args.nesterov,\n    )", "    import paddle\n    optimizer = paddle.optimizer.Adam(scheduler, parameters=model.parameters(), weight_decay=args.weight_decay)"),
        "optimizer", ["not that of momentum SGD"]),
    "schedule not attached": (edit(OPTIM, "    optimizer = Momentum(\n        scheduler,", "    optimizer = Momentum(\n        lr,"), "lr", ["not attached"]),
    "schedule not stepped": (edit(TRAIN, SCHEDULE, ""), "lr", ["never changes", "scheduler.step()"]),
    "another step size": (edit(OPTIM, "args.lr_step_size * steps_per_epoch", "2 * args.lr_step_size * steps_per_epoch"), "lr", ["step size"]),
    "another factor": (edit(OPTIM, "args.lr_gamma)", "args.lr_gamma / 2)"), "lr", ["gamma"]),
    "another warm-up": (edit(OPTIM, "WARMUP_START = 0.01", "WARMUP_START = 0.1"), "lr", ["cosine with warm-up"]),
    "rate not scaled": (edit(OPTIM, "return args.lr * world_size / args.gpus", "return args.lr"), "lr", ["8 times", "scale"]),
    "exported in train mode": (edit("export.py", "    model.eval()\n    write = ", "    model.train()\n    write = "), "inference", ["train mode", "model.eval()", "export.py:"]),
    "gradients not averaged": (edit(DISTRIBUTED, "return paddle.DataParallel(model)", "return model"), "distributed", ["not averaged"]),
    "gradients averaged twice": (edit(TRAIN, "*(scaler, args, weight, is_last)", "*(scaler, args, weight / world_size, is_last)"), "distributed", ["averaged twice"]),
    "evaluation counts padded pictures twice": (
        edit(FOLDER, PARTS, PARTS + "        rounds = -(-length // world_size)\n        batches.own = [(rank + n * world_size) % length for n in range(rounds)]\n")
        + edit(DISTRIBUTED, "whole[rank::world_size] = part", "whole[rank::world_size] = part[: len(whole[rank::world_size])]"),
        "distributed", ["more than once"]),
    "rate not scaled to the processes": (edit(OPTIM, "return args.lr * world_size / args.gpus", "return args.lr / args.gpus"), "distributed", ["learning rate", "scale"]),
    "resume loses the velocity": (edit(CHECKPOINT, "        optimizer.set_state_dict(rename(contents[\"optimizer\"], own_names))\n", ""), "resume", ["velocity"]),
    "resume loses the epoch": (edit(TRAIN, "        progress = Progress.of(contents, args.resume, rank, world_size)\n", ""), "resume", ["epoch is lost"]),
    "bias starts at 0": (edit(MODEL, "nn.initializer.Uniform(-bound, bound)(layer.bias)", "nn.initializer.Constant(0.0)(layer.bias)"), "init", ["0 everywhere", "bias"]),
    "the framework's own start": (edit(MODEL, "        self.apply(init_weights)\n", ""), "init", ["deviation"]),
    "gradients clipped": (edit(TRAIN, STEP, "        paddle.nn.utils.clip_grad_norm_(optimizer._parameter_list, 1e-3)\n" + STEP), "backward", ["times PyTorch's", "clipping"]),
    "dropout missing": (edit(MODEL, "nn.Dropout(dropout),\n            nn.Linear(4096, 4096),", "nn.Identity(),\n            nn.Linear(4096, 4096),"), "training", ["forward"]),
    "dropout off in training": (edit(TRAIN, "            logits = model(images)  # [N, C]\n            loss =", "            model.eval()\n            logits = model(images)  # [N, C]\n            loss ="), "training", ["forward"]),
    "gradients clipped by the optimizer": (edit(OPTIM, "use_nesterov=args.nesterov", "use_nesterov=args.nesterov, grad_clip=nn.ClipGradByGlobalNorm(0.1)"), "optimizer", ["clipped or scaled within the optimizer", "optim.py:"]),
    "biases without decay": (
        edit(OPTIM, "parameters=model.parameters()", "parameters=[{'params': [p for p in model.parameters() if len(p.shape) > 1]}, {'params': [p for p in model.parameters() if len(p.shape) == 1], 'weight_decay': 0.0}]"),
        "optimizer", ["weight decay of features.0.bias", "every bias"]),
    "a group with a rate of its own": (
        edit(OPTIM, "parameters=model.parameters()", "parameters=[{'params': model.features.parameters()}, {'params': model.classifier.parameters(), 'learning_rate': 2.0}]"),
        "lr", ["classifier", "its group", "optim.py:"]),
    "optimizer steps twice": (edit(TRAIN, STEP, 2 * STEP), "backward", ["step"]),
    "gradients not cleared": (edit(TRAIN, CLEAR, ""), "optimizer", ["gradient"]),
    "schedule stepped twice": (edit(TRAIN, SCHEDULE, 2 * SCHEDULE), "lr", ["step size"]),
    "schedule stepped too early": (edit(TRAIN, SCHEDULE, "") + edit(TRAIN, STEP, SCHEDULE + STEP), "lr", ["one step early", "train.py:"]),
    "resume loses the schedule": (edit(CHECKPOINT, '        scheduler.set_state_dict(contents["scheduler"])\n', "        scheduler.step(0)\n"), "resume", ["schedule's state is lost", "checkpoint.py:"]),
    "weights start as normal numbers": (
        edit(MODEL, """        nn.initializer.KaimingUniform(negative_slope=math.sqrt(5), nonlinearity="leaky_relu")(
            layer.weight
        )
""", "        nn.initializer.KaimingNormal(negative_slope=math.sqrt(5), nonlinearity='leaky_relu')(layer.weight)\n"),
        "init", ["normal or alike", "uniform", "alexnet.py:"]),
    "no train mode": (edit(TRAIN, "    model.train()\n", "    model.eval()\n"), "training", ["eval mode in PaddlePaddle"]),
}  # fmt: skip

SGD = """    optimizer = SGD(
        model.parameters(),
        lr=scale_lr(args, world_size),
        momentum=args.momentum,
        weight_decay=args.weight_decay,
        nesterov=args.nesterov,
        fused=True,  # one pass over the parameters
    )"""
MOMENTUM = """    optimizer = Momentum(
        scheduler,
        parameters=model.parameters(),
        momentum=args.momentum,
        weight_decay=args.weight_decay,
        use_nesterov=args.nesterov,
    )"""


def rmsprop(torch, paddle):
    """Return edits of both trees that train by RMSProp with these arguments."""
    return (
        edit(OPTIM, MOMENTUM, f"    import paddle\n    optimizer = paddle.optimizer.RMSProp(scheduler, parameters=model.parameters(), weight_decay=args.weight_decay{paddle})"),
        edit(OPTIM, SGD, f"    import torch\n    optimizer = torch.optim.RMSprop(model.parameters(), lr=scale_lr(args, world_size), weight_decay=args.weight_decay{torch})"),
    )  # fmt: skip


def optimizers(torch, paddle):
    """Return edits of both trees' optimizers: old and new text of each."""
    return edit(OPTIM, *paddle), edit(OPTIM, *torch)


# name: (edits of the Paddle tree, edits of the torch tree, checkpoint, words)
PAIRS = {
    "RMSProp's defaults": (*rmsprop("", ""), "optimizer", ["rho", "0.99 in PyTorch, 0.95 in PaddlePaddle"]),
    "RMSProp's epsilon": (*rmsprop(", alpha=0.95, eps=1e-5", ", rho=0.95, epsilon=1e-5"), "optimizer", ["place of epsilon", "optim.py:"]),
    "exported for one batch": ([], edit("export.py", "        dynamic_shapes=({0: torch.export.Dim(onnx_models.BATCH)},),\n", ""), "inference", ["fixed", "batch", "export.py:"]),
    "dampening": (*optimizers(("nesterov=args.nesterov", "nesterov=args.nesterov, dampening=0 if args.nesterov else 0.1"), ("use_nesterov", "use_nesterov")), "optimizer", ["dampening"]),
    "momentum of batch normalization": (
        edit(MODEL, CONV1, CONV1 + " nn.BatchNorm2D(64, momentum=0.1),"),
        edit(MODEL, CONV1.replace("2D", "2d"), CONV1.replace("2D", "2d") + " nn.BatchNorm2d(64),"),
        "training", ["features.1", "9 times as much", "1 minus PyTorch's", "alexnet.py:"]),
    "a group's rate taken for a rate": (
        edit(OPTIM, "parameters=model.parameters()", "parameters=[{'params': model.features.parameters()}, {'params': model.classifier.parameters(), 'learning_rate': 2 * lr}]"),
        edit(OPTIM, "        model.parameters(),", "        [{'params': model.features.parameters()}, {'params': model.classifier.parameters(), 'lr': 2 * scale_lr(args, world_size)}],"),
        "lr", ["classifier", "its group"]),
}  # fmt: skip

# Correct ports: name: (edits of the Paddle tree, edits of the torch tree)
SAME = {
    "Nesterov on both sides": optimizers(("nesterov=args.nesterov", "nesterov=args.momentum > 0"), ("use_nesterov=args.nesterov", "use_nesterov=args.momentum > 0")),
    "dampening 0 written out": optimizers(("nesterov=args.nesterov", "nesterov=args.nesterov, dampening=0"), ("use_nesterov", "use_nesterov")),
    "other hyperparameters": optimizers(
        ("momentum=args.momentum,\n        weight_decay=args.weight_decay", "momentum=0.8,\n        weight_decay=3e-3"),
        ("momentum=args.momentum,\n        weight_decay=args.weight_decay", "momentum=0.8,\n        weight_decay=3e-3")),
    "another schedule on both sides": optimizers(("args.lr_gamma)", "args.lr_gamma / 3)"), ("args.lr_gamma)", "args.lr_gamma / 3)")),
    "groups on both sides": (
        edit(OPTIM, "parameters=model.parameters()", "parameters=[{'params': [p for p in model.parameters() if len(p.shape) > 1]}, {'params': [p for p in model.parameters() if len(p.shape) == 1], 'weight_decay': 0.0, 'learning_rate': 2.0}]"),
        edit(OPTIM, "        model.parameters(),", "        [{'params': [p for p in model.parameters() if p.ndim > 1]}, {'params': [p for p in model.parameters() if p.ndim == 1], 'weight_decay': 0.0, 'lr': 2 * scale_lr(args, world_size)}],")),
}  # fmt: skip
