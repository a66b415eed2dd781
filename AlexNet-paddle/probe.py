"""Run parts of this tree on given inputs and write down what happened, for tools that compare.

    python AlexNet-paddle/probe.py REQUEST.json OUT_DIR
    python AlexNet-paddle/probe.py        # requests by standard input, see common/serving.py

REQUEST holds `arguments`, a list of options of train.py, and for each part to record its settings:

    weights   {}                     the model's random weights, in torch's layout
    stream    {epochs, splits}       batches as the loaders give them: images, labels, sizes
    schedule  {steps_per_epoch}      the learning rate that the optimizer uses at each step
    metric    {logits, labels}       counts of correct samples for k = 1 and 5
    steps     {steps}                loss and learning rate of the first steps of the training

Each of these becomes OUT_DIR/<part>.npz. The following work on this tree's network or, where
REQUEST holds `model` (`name`, MODULE:CALLABLE, and `arguments`), on any other; each becomes
OUT_DIR/<part>.json:

    describe  {input_shape, dtype, named_as, fitted_to}
                                     the keys, the layers, the order in which they run
    forward   {weights, by_tree, passes, seed}
                                     what each layer gives; each pass has a name, an input, a dtype
                                     and a mode
    batches   {split, epochs}        what the loader gives, sample by sample: see common/streams.py

Parts of recordings.py run train.py itself, with `options` of their own:

    training  {steps, dtype, ...}    loss, logits, gradients, parameters and state at each step
    resume    {batches}              two epochs, without a break and with one
    init      {most}                 values of the parameters of a new network
    loss      {cases}                the loss and its gradient at given logits
    evaluation {cases}               what evaluate() says of given logits
    lr        {most}                 the learning rate that the optimizer uses at each step
    optimizer {steps, dtype}         what the optimizer does with given gradients
"""

import json
from pathlib import Path

from common import processor

with processor.paddle_settings():  # they count only if they stand before the first import
    import paddle

import numpy as np
from paddle import nn
from safetensors.paddle import load_file

import checkpoint
import layers
import metric
import optim
from common import draws, errors, serving, state, streams
from common.args import parse
from models import MODELS


def answer(request: dict, out_dir: Path) -> None:
    args = parse("paddle", request["arguments"])
    device = choose_device(args.device)
    for part, record in RECORDERS.items():
        if part in request:
            arrays = record(args, device, **request[part])
            np.savez(out_dir / f"{part}.npz", **arrays)
    for part, report in REPORTERS.items():
        if part in request:
            found = report(args, device, out_dir, request.get("model"), **request[part])
            (out_dir / f"{part}.json").write_text(json.dumps(found, default=str))
    for part in REHEARSED:
        if part in request:
            import recordings  # brings train.py, of which weights need nothing

            found = recordings.REPORTERS[part](out_dir, **request[part])
            (out_dir / f"{part}.json").write_text(json.dumps(found))


def choose_device(name: str) -> str:
    if name == "cpu":  # train.py brings the transforms, of which weights need nothing
        paddle.set_device("cpu")
        return "cpu"
    import train

    return train.choose_device(name)


def make_model(args, device, num_classes: int) -> nn.Layer:
    paddle.seed(draws.weights_seed(args.seed))
    model = MODELS[args.model](num_classes=num_classes, dropout=args.dropout)
    if args.weights:
        checkpoint.load_weights(args.weights, model)
    return model


def record_weights(args, device, num_classes: int = 1000) -> dict[str, np.ndarray]:
    return checkpoint.neutral_weights(make_model(args, device, num_classes))


def record_stream(args, device, epochs: int, splits: list[str]) -> dict[str, np.ndarray]:
    import train
    from datasets.folder import read_batches

    arrays = {}
    loaders = dict(zip(("train", "val"), train.load_data(args)[:2], strict=True))
    for split in splits:
        images, labels, sizes = [], [], []
        for epoch in range(epochs):
            for batch_images, batch_labels in read_batches(loaders[split], epoch):
                images.append(batch_images.numpy())
                labels.append(batch_labels.numpy())
                sizes.append(len(batch_labels))
        arrays[f"{split}_images"] = np.concatenate(images)
        arrays[f"{split}_labels"] = np.concatenate(labels)
        arrays[f"{split}_sizes"] = np.array(sizes)
    return arrays


def record_schedule(args, device, steps_per_epoch: int) -> dict[str, np.ndarray]:
    optimizer, scheduler = optim.build(nn.Linear(2, 2), args, steps_per_epoch)
    rates = []
    for _ in range(args.epochs * steps_per_epoch):
        rates.append(optim.current_lr(optimizer))
        optimizer.step()
        scheduler.step()
    return {"lr": np.array(rates)}


def record_metric(args, device, logits: list, labels: list) -> dict[str, np.ndarray]:
    logits, labels = paddle.to_tensor(logits), paddle.to_tensor(labels)
    return {f"top{k}": metric.count_correct(logits, labels, k).numpy() for k in (1, 5)}


def record_steps(args, device, steps: int) -> dict[str, np.ndarray]:
    import train
    from datasets.folder import read_batches

    train_loader, _, classes = train.load_data(args)
    model = make_model(args, device, len(classes))
    criterion = nn.CrossEntropyLoss()
    optimizer, scheduler = optim.build(model, args, len(train_loader))
    scaler = paddle.amp.GradScaler(enable=False)
    model.train()
    losses, rates = [], []
    epoch = 0
    while len(losses) < steps:
        for images, labels in read_batches(train_loader, epoch):
            rates.append(optim.current_lr(optimizer))
            loss, _ = train.train_step(
                model, criterion, optimizer, scheduler, images, labels, scaler, args
            )
            losses.append(loss.item())
            if len(losses) == steps:
                break
        epoch += 1
    return {"loss": np.array(losses), "lr": np.array(rates)}


def make_any(args, device, model: dict | None) -> nn.Layer:
    if model is None:
        return make_model(args, device, num_classes=1000)
    if "name" not in model:
        return make_model(args, device, **model["arguments"])
    return layers.make(model["name"], model["arguments"])


def make_empty(args, device, model: dict | None) -> nn.Layer:
    """Make a network of which only the shapes are wanted: without values, where that can be."""
    try:
        with paddle.LazyGuard():
            return make_any(args, device, model)
    except Exception:  # it works with its values as it is made
        return make_any(args, device, model)


def report_describe(
    args, device, out_dir, model, input_shape=None, dtype="float32", named_as=(), fitted_to=None
) -> dict:
    """The network is run where `input_shape` is given and its layers have other names than these.

    The tree's own is the one in the .safetensors file `fitted_to`, with as many classes.
    """
    if fitted_to and model is None:
        args.model = state.which_network(Path(fitted_to)) or args.model
        model = {"arguments": {"num_classes": state.count_classes(Path(fitted_to)) or 1000}}
    network = make_empty(args, device, model)
    found = layers.describe(network)
    names = {key["layer"] for key in found["keys"] if not key["tied"]}
    if input_shape and names != set(named_as):
        network = make_any(args, device, model)
        network.eval()
        run = layers.record(network, paddle.zeros(input_shape, dtype=dtype), folder=None)
        found |= {"order": [call["layer"] for call in run["calls"]], "error": run["error"]}
    return found


def report_forward(
    args, device, out_dir, model, weights: str, by_tree: bool, passes: list[dict], seed: int = 0
) -> dict:
    with layers.origins() as made:
        network = make_any(args, device, model)
    error = load_given(network, Path(weights), by_tree)
    found = {"load_error": error, "loaded": layers.digests(network), **layers.describe(network)}
    found["lines"] = {path: made.get(id(layer)) for path, layer in layers.leaves(network).items()}
    found |= {"version": paddle.__version__, "runs": []}
    for one in passes if error is None else []:
        dtype = one["dtype"]
        network._to_impl(dtype=dtype, floating_only=True)  # Layer.to casts whole numbers too
        paddle.set_default_dtype(dtype)  # of what the network makes as it runs
        if one["training"]:
            network.train()
        else:
            network.eval()
        inputs = read_inputs(one["input"], dtype, device)
        with_inputs, forced = one.get("with_inputs", False), one.get("forced")
        folder = out_dir / one["name"]
        run = layers.record(network, inputs, folder, with_inputs, forced, seed)
        found["runs"].append({"name": one["name"], **run})
    paddle.set_default_dtype("float32")
    return found


def report_batches(args, device, out_dir, model, split: str, epochs: int) -> dict:
    from datasets import folder

    found = streams.record(load_split(args, split), folder.read_batches, epochs, out_dir)
    args.workers = 0
    found |= streams.watch(load_split(args, split), folder, epochs, out_dir)
    return found | {"version": paddle.__version__}


def load_split(args, split: str):
    import train

    return dict(zip(("train", "val"), train.load_data(args)[:2], strict=True))[split]


def load_given(network: nn.Layer, path: Path, by_tree: bool) -> str | None:
    """Load weights as this tree does, or what fits by its name; return what went wrong."""
    if not by_tree:
        layers.load_by_name(network, load_file(path))
        return None
    try:
        checkpoint.load_weights(path, network)
    except errors.UserError as error:  # that the tree cannot load them is a finding
        return str(error)
    except Exception as error:
        return layers.told(error)
    return None


def read_inputs(file: str, dtype: str, device) -> paddle.Tensor:
    array = np.load(file)
    if array.dtype.kind == "f":  # whole numbers, such as words, stay what they are
        array = array.astype(dtype)
    return paddle.to_tensor(array)


RECORDERS = {
    "weights": record_weights,
    "stream": record_stream,
    "schedule": record_schedule,
    "metric": record_metric,
    "steps": record_steps,
}
REPORTERS = {
    "describe": report_describe,
    "forward": report_forward,
    "batches": report_batches,
}
# These run train.py itself.
REHEARSED = (
    "training",
    "evaluate",
    "inference",
    "read_batches",
    "resume",
    "init",
    "loss",
    "evaluation",
    "lr",
    "optimizer",
)


if __name__ == "__main__":
    errors.run(lambda: serving.serve(answer))
