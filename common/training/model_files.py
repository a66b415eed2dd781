"""What the trees' files of weights and checkpoints must hold before they are loaded."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from safetensors import safe_open

from common import networks
from portproof.files.state import read_neutral
from portproof.system.errors import UserError, explained

COUNTS = ("epoch", "step", "correct", "seen", "world_size")
MEASURES = ("loss_sum", "best_top1", "lr", "seconds")
# What a checkpoint to resume from holds.
CHECKPOINT = ("model", "optimizer", "scheduler", "scaler", "ema", *COUNTS, *MEASURES)
HEAD = "classifier.6"  # the last layer of AlexNet, in both trees
LAST_LAYER = (f"{HEAD}.weight", f"{HEAD}.bias")


def which_network(path: Path) -> tuple[str | None, int | None]:
    """Return the name and the classes of an AlexNet in a .safetensors file, None where unknown."""
    with read_neutral(path, lambda path: safe_open(path, framework="numpy")) as file:
        keys = set(file.keys())
        shapes = [file.get_slice(name).get_shape() if name in keys else () for name in LAST_LAYER]
    return networks.of_weights(keys), _outputs(*shapes)


def count_outputs(path: Path, weights: dict) -> int:
    """Return how many classes the AlexNet in `weights` tells apart. Raises UserError on others."""
    outputs = _outputs(*(_shape(weights.get(name)) for name in LAST_LAYER))
    if outputs is None:
        raise UserError(f"{path}: has no layer {HEAD}; it holds another network's weights")
    return outputs


def _outputs(weight: Sequence[int], bias: Sequence[int]) -> int | None:
    """Return the outputs of a linear layer by its shapes; None where they do not fit each other.

    A network is made by this number: a bias alone, of a few bytes, could have it fill the memory.
    """
    fit = len(weight) == 2 and len(bias) == 1 and bias[0] in weight  # [N, M]; in Paddle [M, N]
    return bias[0] if fit else None


def check(path: Path, weights: dict[str, Any], expected: dict[str, Any]) -> None:
    """Raise UserError, naming the first layer, where a file's keys or shapes misfit the model.

    `weights` and `expected`, the model's, are tensors by name; a file may hold anything.
    """
    missing = [name for name in expected if name not in weights]
    unknown = [name for name in weights if name not in expected]
    for names, trouble in ((missing, "lacks"), (unknown, "has, unknown to the model,")):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            model = networks.of_weights(weights)
            another = model not in (None, networks.of_weights(expected))
            whose = f"those of --model {model}" if another else "another network's weights"
            raise UserError(f"{path}: the file {trouble} {names[0]}{more}; it holds {whose}")
    for name, tensor in expected.items():
        shape, wanted = _shape(weights[name]), _shape(tensor)
        if shape != wanted:
            why = "was it trained with another network?"
            if name.startswith(f"{HEAD}."):
                why = (
                    "it was trained on another number of classes; --finetune takes all other "
                    "layers from it and draws this one anew"
                )
            raise UserError(
                f"{path}: {name} is {list(shape)} in the file and {list(wanted)} in the "
                f"model; {why}"
            )


def _shape(tensor: Any) -> tuple[int, ...]:
    return tuple(getattr(tensor, "shape", ()))


def with_new_head(path: Path, weights: dict, drawn: dict) -> dict:
    """Return the weights of a file with the last layer of `drawn`, a new model's, for theirs."""
    head = {name: tensor for name, tensor in drawn.items() if name.startswith(f"{HEAD}.")}
    others = {name: tensor for name, tensor in weights.items() if name not in head}
    classes = len(drawn[LAST_LAYER[1]])
    print(f"finetune: {HEAD} is drawn anew for {classes} classes; all else comes from {path}")
    return others | head


def class_names(contents: Any) -> list[str] | None:
    """Return the names of the classes in a train.py checkpoint, None where it has none."""
    names = contents.get("classes") if isinstance(contents, dict) else None
    known = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return names if known else None


def check_keys(path: Path, contents: Any) -> None:
    """Raise UserError where a checkpoint lacks a part that resuming needs."""
    missing = [key for key in CHECKPOINT if not isinstance(contents, dict) or key not in contents]
    if not missing:
        odd = [name for name in COUNTS if type(contents[name]) is not int or contents[name] < 0]
        odd += [name for name in MEASURES if not isinstance(contents[name], (int, float))]
        missing = [f"number in {name}" for name in odd]
    if missing:
        raise UserError(
            f"{path}: not a checkpoint to resume from (no {', '.join(missing)}); "
            "to start from its weights alone, use --weights"
        )


def user_error(path: Path) -> AbstractContextManager[None]:
    """Turn what a framework raises on a state that misfits into a UserError."""
    what = f"{path}: its optimizer or schedule does not fit this run"
    return explained(what, "start a new run from its weights by --weights")
