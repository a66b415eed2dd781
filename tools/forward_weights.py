"""The weights that a comparison gives to both networks: from files, or drawn."""

import zlib
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from common.errors import UserError
from tools import kinds, tensors, transfer_weights, weight_faults
from tools.findings import Cause
from tools.matching import Key, Match, Network
from tools.probes import NAMES, Side
from tools.tensors import Tensors

KEEPING = 2**0.5  # gain with which a layer and its ReLU keep the scale of what flows through


@dataclass
class Weights:
    """What each side is given, by its own names, float32, torch's layout; what is wrong in it."""

    told: str  # where they are from
    held: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)
    causes: list[Cause] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_files(
    sides: dict[str, Side],
    folder: Path,
    weights: Path | None,
    own_weights: dict[str, Path] | None,
) -> dict[str, tuple[Path, Tensors]]:
    """Return the weights files by the framework whose names they have."""
    wanted = own_weights or {}
    if weights is not None:
        kind = kind_of(weights)
        wanted = {"torch" if kind == "neutral" else kind: weights}
    found = {}
    for framework, path in wanted.items():
        kind = kind_of(path)
        if own_weights and kind not in (framework, "neutral"):
            raise UserError(f"--{framework}-weights {path}: not a file of {NAMES[framework]}")
        folder.mkdir(parents=True, exist_ok=True)
        read = transfer_weights.read(path, kind, sides, folder / framework)
        found[framework] = path, read
    return found


def kind_of(path: Path) -> str:
    """Return torch, paddle or neutral, by the ending. Raises UserError."""
    if path.suffix not in transfer_weights.FRAMEWORK:
        endings = ", ".join(transfer_weights.FRAMEWORK)
        raise UserError(f"{path}: the ending says nothing; weights end with {endings}")
    if not path.is_file():
        raise UserError(f"{path}: no such file; give the file that holds the weights")
    return transfer_weights.FRAMEWORK[path.suffix]


def fit_classes(sides: dict[str, Side], files: dict[str, tuple[Path, Tensors]]) -> dict[str, Side]:
    """Give AlexNet as many classes as the weights have, unless it was told a number."""
    bias = next((f[1].get("classifier.6.bias") for f in files.values()), None)
    if bias is None or len(bias.shape) != 1:
        return sides
    model = {"arguments": {"num_classes": bias.shape[0]}}
    return {
        name: side if side.model else replace(side, model=model) for name, side in sides.items()
    }


def give_weights(
    files: dict[str, tuple[Path, Tensors]],
    weights: Path | None,
    networks: dict[str, Network],
    match: Match,
    seed: int,
    gain: float = KEEPING,
) -> Weights:
    """Return the weights of each side.

    From one file both sides get the same; from two each gets its own, as it is; from none both get
    the same drawn ones.
    """
    if len(files) == 2:
        given = Weights(" and ".join(str(path) for path, _ in files.values()))
        for framework, (path, read) in files.items():
            given.causes += weight_faults.file_misfits(path, read, networks[framework])
            given.held[framework] = to_float32(read, networks[framework])
        given.causes += weight_faults.unequal(given.held, match, networks)
        return given
    framework = next(iter(files), "torch")
    network = networks[framework]
    if files:
        path, read = files[framework]
        given = Weights(str(path))
        transfer_weights.check_source(path, read, network)
        own = to_float32(read, network)
        spoilt = [key for key, array in own.items() if not np.isfinite(array).all()]
        if spoilt:  # frameworks carry NaN on in ways of their own
            raise UserError(
                f"{path}: {spoilt[0]} holds NaN or infinity, with which nothing can be compared; "
                "give the weights of a run that has not diverged"
            )
        if any(tensor.dtype == "F64" for tensor in read.values()):
            given.notes.append(f"{path} is rounded to float32, the same for both")
    else:
        given = Weights(f"drawn from seed {seed}")
        own = draw_weights(network, seed, gain)
    other = networks["paddle" if framework == "torch" else "torch"]
    pairs = match.keys if framework == "torch" else {p: t for t, p in match.keys.items()}
    shared = {pairs[key]: array for key, array in own.items() if key in pairs}
    theirs = draw_weights(other, seed, gain, shared)
    for key in other.keys.values():
        if key.tied in theirs:
            theirs[key.key] = theirs[key.tied]
    given.held = {framework: own, other.framework: theirs}
    return given


def draw_weights(
    network: Network,
    seed: int,
    gain: float = KEEPING,
    given: dict[str, np.ndarray] | None = None,
) -> dict[str, np.ndarray]:
    """Draw weights, float32, torch's layout, that keep the scale of what flows through.

    `gain` is their deviation times the square root of a layer's inputs. What is `given` stays.
    None of them is 0 or 1, so that no bias, mean or scale can go missing unseen.
    """
    drawn = {}
    for key in network.keys.values():
        if given and key.key in given:
            drawn[key.key] = given[key.key]
        else:
            drawn[key.key] = drawn[key.tied] if key.tied in drawn else _draw(key, seed, gain)
    return drawn


def _draw(key: Key, seed: int, gain: float) -> np.ndarray:
    if key.role == kinds.COUNTER:
        return np.zeros(key.shape, np.int64)
    words = np.array([seed, zlib.crc32(key.key.encode())], dtype=np.uint64)
    generator = np.random.Generator(np.random.Philox(key=words))
    if key.role == "running_var" or ("Norm" in key.kind and key.role == "weight"):
        drawn = generator.uniform(0.5, 1.5, key.shape)
    elif len(key.shape) > 1:
        fan_in = int(np.prod(key.shape[1:]))
        drawn = generator.standard_normal(key.shape)
        drawn *= gain
        drawn /= np.sqrt(fan_in)
    else:
        drawn = generator.standard_normal(key.shape) * 0.1
    return drawn.astype(np.float32)


def to_float32(weights: Tensors, network: Network) -> dict[str, np.ndarray]:
    """Return a file's weights as float32 in torch's layout; whole numbers stay what they are."""
    found = {}
    for name, tensor in weights.items():
        key = network.keys.get(name)
        floats = tensor.dtype in tensors.FLOATS
        array = tensor.as_float64().astype(np.float32) if floats else np.array(tensor.array)
        found[name] = array.T if key is not None and key.transposed and array.ndim == 2 else array
    return found


def count_same(
    held: dict[str, dict[str, np.ndarray]], match: Match, networks: dict[str, Network]
) -> tuple[int, int]:
    """Return how many tensors, and numbers in them, are the same on both sides, bit for bit."""
    same = [
        held["torch"][torch].size
        for torch, paddle in match.keys.items()
        if torch in held["torch"]
        and paddle in held["paddle"]
        and np.array_equal(held["torch"][torch], held["paddle"][paddle], equal_nan=True)
    ]
    return len(same), sum(same)


def native(network: Network, weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the weights of one side in its own layout."""
    return {
        name: array.T if name in network.keys and network.keys[name].transposed else array
        for name, array in weights.items()
    }
