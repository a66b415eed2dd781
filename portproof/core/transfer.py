"""One transfer of weights: look at file and networks, plan, carry, check, write."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from portproof.core import weight_files
from portproof.core.inputs import IMAGE_SHAPE
from portproof.core.weight_files import FRAMEWORK, names_of
from portproof.networks.matching import Network, Networks
from portproof.system.frameworks import FRAMEWORKS
from portproof.weights import carry, tensors
from portproof.weights.tensors import Tensors, WeightsFile
from portproof.worker.client import Sides


@dataclass(frozen=True)
class Request:
    """What is to be carried where, and what is known of the two networks."""

    sides: Sides
    source: Path
    target: Path
    input_shape: list[int] = field(default_factory=lambda: list(IMAGE_SHAPE))
    input_dtype: str = "float32"
    pairs: dict[str, str] = field(default_factory=dict)  # layers that are partners, torch's first


@dataclass(frozen=True)
class Transferred:
    """What became of each tensor, what the target holds, and what is odd in it."""

    rows: list[carry.Row]
    tensors: Tensors
    warnings: list[str]


def transfer(request: Request, folder: Path) -> Transferred:
    """Write the target, by way of `folder`. Raises UserError, or OSError at a full disk."""
    source, networks = look(request, folder)
    source_net, target_net = (networks[names_of(p)] for p in (request.source, request.target))
    source = replace(source, tensors=carry.with_twins(source.tensors, source_net))
    rows = carry.plan(source, source_net, target_net, request.pairs)
    carried = carry.carry(rows, source.tensors, target_net)
    carry.check_tied(request.source, source.tensors, source_net)
    carry.check_tied(request.source, carried, target_net)
    warnings = carry.check_values(source.tensors)
    weight_files.write(request.target, carried, request.sides, folder / "write")
    return Transferred(rows, carried, warnings)


def look(request: Request, folder: Path) -> tuple[WeightsFile, Networks]:
    """Return the source, and the networks that the names belong to by framework.

    One framework after the other, each in one process: together they would take too much memory.
    """
    ends = names_of(request.source), names_of(request.target)
    needed = [name for name in FRAMEWORKS if name in ends]
    by_torch = FRAMEWORK[request.source.suffix] == "torch"  # its process reads the source too
    source = None if by_torch else weight_files.read(request.source, request.sides, folder / "read")
    staged = folder / "torch" / "read.safetensors" if by_torch else source.staged
    networks: Networks = {}
    for framework in needed:
        parts = {"describe": {"fitted_to": str(staged.resolve())}}
        if by_torch and framework == "torch":
            parts["read"] = {"path": str(request.source.resolve())}
        if request.sides["torch"].model and len(needed) == 2:  # names may differ, then order counts
            parts["describe"] |= {
                "input_shape": request.input_shape,
                "dtype": request.input_dtype,
                "named_as": networks["torch"].names() if networks else [],
            }
        report = request.sides[framework].ask(folder / framework, **parts)
        networks[framework] = Network.from_report(framework, report["describe"])
    if by_torch:
        source = WeightsFile(request.source, staged, tensors.read(staged, request.source))
    return source, networks
