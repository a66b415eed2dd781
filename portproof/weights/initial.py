"""The weights that a comparison gives to both networks: from files, or drawn."""

import zlib
from dataclasses import dataclass, field

import numpy as np

from portproof.networks import layer_types
from portproof.networks.matching import Key, Match, Network, Networks
from portproof.system.errors import UserError
from portproof.system.frameworks import OTHER
from portproof.weights import tensors
from portproof.weights.carry import check_source
from portproof.weights.tensors import Tensors, WeightsFile

Arrays = dict[str, np.ndarray]
KEEPING = 2**0.5  # gain with which a layer and its ReLU keep the scale of what flows through


@dataclass
class Weights:
    """What each side is given, by its own names, float32, torch's layout."""

    source: str  # where they are from
    held: dict[str, Arrays]
    notes: list[str] = field(default_factory=list)


def give_weights(
    files: dict[str, WeightsFile],
    networks: Networks,
    match: Match,
    seed: int,
    gain: float = KEEPING,
) -> Weights:
    """Return the weights of each side.

    From one file both sides get the same; from two each gets its own, as it is; from none both get
    the same drawn ones. Raises UserError where the one file is not its network's.
    """
    source = " and ".join(str(file.path) for file in files.values()) or f"drawn from seed {seed}"
    if len(files) == 2:
        held = {name: to_float32(file.tensors, networks[name]) for name, file in files.items()}
        return Weights(source, held)
    framework = next(iter(files), "torch")
    network, other, notes = networks[framework], networks[OTHER[framework]], []
    if files:
        file = files[framework]
        arrays = _read_sound(file, network)
        if any(tensor.dtype == "F64" for tensor in file.tensors.values()):
            notes.append(f"{source} is rounded to float32, the same for both")
    else:
        arrays = draw_weights(network, seed, gain)
    pairs = match.keys_from(framework)
    shared = {pairs[key]: array for key, array in arrays.items() if key in pairs}
    others = draw_weights(other, seed, gain, shared)
    others |= {key.key: others[key.tied] for key in other.keys.values() if key.tied in others}
    return Weights(source, {framework: arrays, other.framework: others}, notes)


def _read_sound(file: WeightsFile, network: Network) -> Arrays:
    """Return a file's weights. Raises UserError where they are not the network's, or not finite."""
    check_source(file, network)
    weights = to_float32(file.tensors, network)
    spoilt = [key for key, array in weights.items() if not np.isfinite(array).all()]
    if spoilt:  # frameworks carry NaN on in ways of their own
        raise UserError(
            f"{file.path}: {spoilt[0]} holds NaN or infinity, with which nothing can be compared; "
            "give the weights of a run that has not diverged"
        )
    return weights


def draw_weights(
    network: Network, seed: int, gain: float = KEEPING, known: Arrays | None = None
) -> Arrays:
    """Draw weights, float32, torch's layout; none is 0 or 1, so that all that goes missing is seen.

    `gain` is their deviation times the square root of a layer's inputs. What is `known` stays.
    """
    drawn: Arrays = {}
    for name, key in network.keys.items():
        if known and name in known:
            drawn[name] = known[name]
        else:
            drawn[name] = drawn[key.tied] if key.tied in drawn else _draw(key, seed, gain)
    return drawn


def _draw(key: Key, seed: int, gain: float) -> np.ndarray:
    if key.role == layer_types.COUNTER:
        return np.zeros(key.shape, np.int64)
    words = np.array([seed, zlib.crc32(key.key.encode())], dtype=np.uint64)
    generator = np.random.Generator(np.random.Philox(key=words))
    if key.role == "running_var" or ("Norm" in key.kind and key.role == "weight"):
        return generator.uniform(0.5, 1.5, key.shape).astype(np.float32)
    drawn = generator.standard_normal(key.shape)
    if len(key.shape) > 1:
        drawn *= gain
        drawn /= np.sqrt(np.prod(key.shape[1:]))  # its inputs
    else:
        drawn *= 0.1
    return drawn.astype(np.float32)


def to_float32(weights: Tensors, network: Network) -> Arrays:
    """Return a file's weights as float32 in torch's layout; whole numbers stay what they are."""
    arrays = {}
    for name, tensor in weights.items():
        is_float = tensor.dtype in tensors.FLOATS
        arrays[name] = tensor.as_float64().astype(np.float32) if is_float else tensor.array.copy()
    return native(network, arrays)  # to transpose again is to undo it


def count_same(held: dict[str, Arrays], match: Match) -> tuple[int, int]:
    """Return how many tensors, and numbers in them, are the same on both sides, bit for bit."""
    sizes = []
    for torch, paddle in match.keys.items():
        left, right = held["torch"].get(torch), held["paddle"].get(paddle)
        if left is not None and right is not None and np.array_equal(left, right, equal_nan=True):
            sizes.append(left.size)
    return len(sizes), sum(sizes)


def native(network: Network, weights: Arrays) -> Arrays:
    """Return the weights of one side in its own layout."""
    return {
        name: array.T if name in network.keys and network.keys[name].transposed else array
        for name, array in weights.items()
    }
