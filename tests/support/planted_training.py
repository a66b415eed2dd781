"""Faults of loss, metric, gradients, optimizer, schedule and resume: a line for each."""

from tests.support.planting import Edit

PARTS = "batches = PartBatches(length, max(args.batch_size // args.eval_crops, 1), process)"
INIT = "self.apply(init_weights)"
FORWARD = "x = self.avgpool(x)"
LOSS = "nn.CrossEntropyLoss(label_smoothing=args.label_smoothing)"
STEP = "scaler.step(optimizer)"
SCHEDULE = "scheduler.step()"
CLEAR = "optimizer.clear_grad()"
CONV1 = "nn.Conv2D(3, 64, kernel_size=11, stride=4, padding=2)"
SGD = """optimizer = SGD(
    model.parameters(),
    lr=scale_lr(args, world_size),
    momentum=args.momentum,
    weight_decay=args.weight_decay,
    nesterov=args.nesterov,
    fused=True,
)"""
MOMENTUM = """optimizer = Momentum(
    scheduler,
    parameters=model.parameters(),
    momentum=args.momentum,
    weight_decay=args.weight_decay,
    use_nesterov=args.nesterov,
)"""
DECAY = "weight_decay=args.weight_decay"
STAIRS = "args.lr_step_size * steps_per_epoch"


def edit(old, new, within=""):
    return [Edit(old, new, within)]


def network(old, new):
    return edit(old, new, "AlexNet")


def optimizers(torch, paddle=None):
    """Return edits of both trees' optimizers: old and new code of each."""
    return edit(*paddle) if paddle else [], edit(*torch)


def rmsprop(torch, paddle):
    """Return edits of both trees that train by RMSProp with these arguments."""
    return optimizers(
        (SGD, f"import torch\noptimizer = torch.optim.RMSprop(model.parameters(), lr=scale_lr(args, world_size), weight_decay=args.weight_decay{torch})"),
        (MOMENTUM, f"import paddle\noptimizer = paddle.optimizer.RMSProp(scheduler, parameters=model.parameters(), weight_decay=args.weight_decay{paddle})"),
    )  # fmt: skip


# name: (edits of the Paddle tree, checkpoint, words of where, cause or fix)
FAULTS = {
    "softmax twice": (edit(LOSS, "(lambda x, y: nn.functional.cross_entropy(nn.functional.softmax(x), y))"), "loss", ["softmax twice"]),
    "no softmax": (edit(LOSS, "nn.CrossEntropyLoss(use_softmax=False)"), "loss", ["no softmax"]),
    "loss summed": (edit(LOSS, "nn.CrossEntropyLoss(reduction='sum')"), "loss", ["summed", "reduction"]),
    "label smoothing": (edit(LOSS, "nn.CrossEntropyLoss(label_smoothing=0.1)"), "loss", ["label smoothing 0.1"]),
    "metric as a fraction": (edit("100 * correct1", "correct1"), "metric", ["val_top1", "a fraction, not per cent"]),
    "metric averaged over batches": (
        edit("self.correct1 += count_correct(logits, labels, k=1)", "self.correct1 = self.correct1 + count_correct(logits, labels, k=1).astype('float64') * self.seen / 3 / len(labels)")
        + edit("int(self.correct1)", "float(self.correct1)"),
        "metric", ["val_top1"]),
    "top-5 is top-4": (edit("k=5", "k=4"), "metric", ["val_top5"]),
    "ties count": (edit("(logits == score) & (classes >= labels.unsqueeze(1))", "logits == score"), "metric", ["ties counted as correct"]),
    "measured in training mode": (edit("model.eval()", "", "evaluate"), "metric", ["train mode in PaddlePaddle", "model.eval()", "train.py:"]),
    "graph cut": (network(FORWARD, "x = self.avgpool(x).detach()"), "backward", ["no gradient", "features.10.bias", "detach"]),
    "a layer frozen": (network(INIT, INIT + "\nself.features[3].weight.stop_gradient = True"), "backward", ["features.3.weight", "no gradient", "stop_gradient"]),
    "gradient scaled": (edit("scaler.scale(loss * weight)", "scaler.scale(2 * loss * weight)"), "backward", ["2 times PyTorch's"]),
    "layer left out of the optimizer": (edit("parameters=model.parameters()", "parameters=model.classifier.parameters()"), "optimizer", ["features.0.weight", "does not move"]),
    "no momentum": (edit("momentum=args.momentum", "momentum=0.0"), "optimizer", ["momentum of", "0.9 in PyTorch, 0 in PaddlePaddle"]),
    "plain SGD": (
        edit(MOMENTUM, "import paddle\noptimizer = paddle.optimizer.SGD(scheduler, parameters=model.parameters(), weight_decay=args.weight_decay)"),
        "optimizer", ["momentum of", "0.9 in PyTorch, 0 in PaddlePaddle"]),
    "no weight decay": (edit(DECAY, ""), "optimizer", ["weight decay", "0.1 in PyTorch, 0 in PaddlePaddle"]),
    "ten times the decay": (edit(DECAY, "weight_decay=10 * args.weight_decay"), "optimizer", ["weight decay", "0.1 in PyTorch, 1 in PaddlePaddle"]),
    "decoupled decay": (edit(DECAY, "")
        + edit(STEP, STEP + "\nwith paddle.no_grad():\n    for value in optimizer._parameter_list:\n        value.set_value(value * (1 - optimizer.get_lr() * 0.1))"),
        "optimizer", ["decoupled", "train.py:"]),
    "Nesterov ignored": (edit("use_nesterov=args.nesterov", "use_nesterov=False"), "optimizer", ["Nesterov", "on in PyTorch, off in PaddlePaddle"]),
    "Adam": (
        edit(MOMENTUM, "import paddle\noptimizer = paddle.optimizer.Adam(scheduler, parameters=model.parameters(), weight_decay=args.weight_decay)"),
        "optimizer", ["not that of momentum SGD"]),
    "schedule not attached": (edit("scheduler, parameters=model.parameters()", "lr,\nparameters=model.parameters()"), "lr", ["not attached"]),
    "schedule not stepped": (edit(SCHEDULE, ""), "lr", ["never changes", "scheduler.step()"]),
    "another step size": (edit(STAIRS, f"2 * {STAIRS}"), "lr", ["step size"]),
    "another factor": (edit(f"{STAIRS}, args.lr_gamma", f"{STAIRS}, args.lr_gamma / 2"), "lr", ["gamma"]),
    "another warm-up": (edit("WARMUP_START = 0.01", "WARMUP_START = 0.1"), "lr", ["cosine with warm-up"]),
    "rate not scaled": (edit("args.lr * world_size / args.gpus", "args.lr"), "lr", ["8 times", "scale"]),
    "exported in train mode": (edit("model.eval()", "model.train()", "export"), "inference", ["train mode", "model.eval()", "export.py:"]),
    "gradients not averaged": (edit("return paddle.DataParallel(model)", "return model"), "distributed", ["not averaged"]),
    "gradients averaged twice": (edit("batch.weight", "batch.weight / loader.batch_sampler.world_size", "train_one_epoch"), "distributed", ["averaged twice"]),
    "evaluation counts padded images twice": (
        edit(PARTS, PARTS + "\nrounds = -(-length // world_size)\nbatches.part = [(rank + n * world_size) % length for n in range(rounds)]")
        + edit("whole[rank::world_size()] = part", "whole[rank::world_size()] = part[: len(whole[rank::world_size()])]"),
        "distributed", ["more than once"]),
    "rate not scaled to the processes": (edit("args.lr * world_size / args.gpus", "args.lr / args.gpus"), "distributed", ["learning rate", "scale"]),
    "resume loses the velocity": (edit("trainer.optimizer.set_state_dict(rename(contents['optimizer'], own_names))", ""), "resume", ["velocity"]),
    "resume loses the epoch": (edit("run.resume(args.resume)", "checkpoint.restore(checkpoint.load(args.resume), args.resume, trainer)"), "resume", ["epoch is lost"]),
    "bias starts at 0": (edit("nn.initializer.Uniform(-bound, bound)(layer.bias)", "nn.initializer.Constant(0.0)(layer.bias)"), "init", ["0 everywhere", "bias"]),
    "the framework's own start": (network(INIT, ""), "init", ["deviation"]),
    "gradients clipped": (edit(STEP, "paddle.nn.utils.clip_grad_norm_(optimizer._parameter_list, 1e-3)\n" + STEP), "backward", ["times PyTorch's", "clipping"]),
    "dropout missing": (network("nn.Dropout(dropout), nn.Linear(4096, 4096)", "nn.Identity(),\nnn.Linear(4096, 4096)"), "training", ["forward"]),
    "dropout off in training": (edit("logits = network(images)", "model.eval()\nlogits = network(images)"), "training", ["eval mode in PaddlePaddle", "train.py:"]),
    "gradients clipped by the optimizer": (edit("use_nesterov=args.nesterov", "use_nesterov=args.nesterov, grad_clip=nn.ClipGradByGlobalNorm(0.1)"), "optimizer", ["clipped or scaled within the optimizer", "optim.py:"]),
    "biases without decay": (
        edit("parameters=model.parameters()", "parameters=[{'params': [p for p in model.parameters() if len(p.shape) > 1]}, {'params': [p for p in model.parameters() if len(p.shape) == 1], 'weight_decay': 0.0}]"),
        "optimizer", ["weight decay of features.0.bias", "every bias"]),
    "a group with a rate of its own": (
        edit("parameters=model.parameters()", "parameters=[{'params': model.features.parameters()}, {'params': model.classifier.parameters(), 'learning_rate': 2.0}]"),
        "lr", ["classifier", "its group", "optim.py:"]),
    "optimizer steps twice": (edit(STEP, f"{STEP}\n{STEP}"), "backward", ["step"]),
    "gradients not cleared": (edit(CLEAR, ""), "optimizer", ["gradient"]),
    "schedule stepped twice": (edit(SCHEDULE, f"{SCHEDULE}\n{SCHEDULE}"), "lr", ["step size"]),
    "schedule stepped too early": (edit(SCHEDULE, "") + edit(STEP, f"{SCHEDULE}\n{STEP}"), "lr", ["one step early", "train.py:"]),
    "resume loses the schedule": (edit("trainer.scheduler.set_state_dict(contents['scheduler'])", "trainer.scheduler.step(0)"), "resume", ["schedule's state is lost", "checkpoint.py:"]),
    "weights start as normal numbers": (
        edit("nn.initializer.KaimingUniform", "nn.initializer.KaimingNormal"),
        "init", ["normal or alike", "uniform", "alexnet.py:"]),
    "no train mode": (edit("trainer.model.train()", "trainer.model.eval()"), "training", ["eval mode in PaddlePaddle"]),
}  # fmt: skip

# name: (edits of the Paddle tree, edits of the torch tree, checkpoint, words)
PAIRS = {
    "resume loses the schedule of PyTorch": ([], edit("trainer.scheduler.load_state_dict(contents['scheduler'])", ""), "resume", ["PyTorch", "schedule's state is lost", "checkpoint.py:"]),
    "RMSProp's defaults": (*rmsprop("", ""), "optimizer", ["rho", "0.99 in PyTorch, 0.95 in PaddlePaddle"]),
    "RMSProp's epsilon": (*rmsprop(", alpha=0.95, eps=1e-5", ", rho=0.95, epsilon=1e-5"), "optimizer", ["place of epsilon", "optim.py:"]),
    "exported for one batch": ([], edit("dynamic_shapes=({0: torch.export.Dim(onnx_models.BATCH)},)", ""), "inference", ["fixed", "batch", "export.py:"]),
    "dampening": (*optimizers(("nesterov=args.nesterov", "nesterov=args.nesterov, dampening=0 if args.nesterov else 0.1")), "optimizer", ["dampening"]),
    "momentum of batch normalization": (
        network(CONV1, CONV1 + ", nn.BatchNorm2D(64, momentum=0.1)"),
        network(CONV1.replace("2D", "2d"), CONV1.replace("2D", "2d") + ", nn.BatchNorm2d(64)"),
        "training", ["features.1, step 1", "9 times as much", "1 minus PyTorch's", "alexnet.py:"]),
    "a group's rate taken for a rate": (
        edit("parameters=model.parameters()", "parameters=[{'params': model.features.parameters()}, {'params': model.classifier.parameters(), 'learning_rate': 2 * lr}]"),
        edit("model.parameters()", "[{'params': model.features.parameters()}, {'params': model.classifier.parameters(), 'lr': 2 * scale_lr(args, world_size)}]", "build"),
        "lr", ["classifier", "its group"]),
}  # fmt: skip

# Correct ports: name: (edits of the Paddle tree, edits of the torch tree)
SAME = {
    "Nesterov on both sides": optimizers(("nesterov=args.nesterov", "nesterov=args.momentum > 0"), ("use_nesterov=args.nesterov", "use_nesterov=args.momentum > 0")),
    "dampening 0 written out": optimizers(("nesterov=args.nesterov", "nesterov=args.nesterov, dampening=0")),
    "other hyperparameters": optimizers(
        ("momentum=args.momentum, weight_decay=args.weight_decay", "momentum=0.8,\nweight_decay=3e-3"),
        ("momentum=args.momentum, weight_decay=args.weight_decay", "momentum=0.8,\nweight_decay=3e-3")),
    "another schedule on both sides": optimizers((f"{STAIRS}, args.lr_gamma", f"{STAIRS}, args.lr_gamma / 3"), (f"{STAIRS}, args.lr_gamma", f"{STAIRS}, args.lr_gamma / 3")),
    "groups on both sides": (
        edit("parameters=model.parameters()", "parameters=[{'params': [p for p in model.parameters() if len(p.shape) > 1]}, {'params': [p for p in model.parameters() if len(p.shape) == 1], 'weight_decay': 0.0, 'learning_rate': 2.0}]"),
        edit("model.parameters()", "[{'params': [p for p in model.parameters() if p.ndim > 1]}, {'params': [p for p in model.parameters() if p.ndim == 1], 'weight_decay': 0.0, 'lr': 2 * scale_lr(args, world_size)}]", "build")),
}  # fmt: skip
