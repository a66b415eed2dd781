"""Both sides train from the same weights on the same batches: which step differs first, and why.

    portproof training --torch-port a/port.py --paddle-port b/port.py --steps 100
    portproof training --torch-port a/port.py --paddle-port b/port.py --data-path DIR --watch WEIGHT

Loss, logits, gradients, parameters, the optimizer's state and the learning rate of each step, in
float64 and float32, with the same units dropped. Exit status: 0 aligned, 1 diverged, 2 wrong usage.
"""

import argparse
import time
from collections.abc import Sequence

from portproof.checks.training import check_training
from portproof.cli.options import add_number, add_path, add_results, add_seed, conclude
from portproof.cli.project import NONE, Project, add_network, add_ports
from portproof.core.step_compare import Reports, loss_rows, losses, parameter_pairs
from portproof.core.training_pair import IMAGE_SIZE, TrainingPair
from portproof.report import align as align_report
from portproof.report import training as training_report
from portproof.system.command_line import Parser, add_option
from portproof.system.errors import UserError
from portproof.system.frameworks import FRAMEWORKS, NAMES
from portproof.worker.client import kept_running, scratch

STEPS = 10


def main(argv: Sequence[str] | None = None, project: Project = NONE) -> int:
    args = parse(argv, project)
    with scratch() as folder, kept_running():
        pair = project.pair(args, folder / "pair")
        pair.data_path = None if args.drawn else project.images(args.data_path)
        pair.batch_size = args.batch_size
        pair.folder.mkdir()
        pair.prepare()
        start = time.perf_counter()
        verdict, records = check_training(pair, args.steps, args.drawn)
        verdict.seconds = time.perf_counter() - start
        verdict.details = training_report.blocks(records)
        watched = watch(args.watch, pair, records["float64"])
    names = " ".join(f"{NAMES[side]:>16}" for side in FRAMEWORKS)
    print(f"{'step':>5} {'lr':>12} {names}  difference (float64)")
    for step, rate, loss, other in loss_rows(records["float64"]):
        print(f"{step:5} {rate:12.6g} {loss:16.12f} {other:16.12f}  {abs(loss - other):.1e}")
    print("\n".join(watched))
    by_dtype = {dtype: losses(reports) for dtype, reports in records.items()}
    return conclude(args, align_report.as_json([verdict], losses=by_dtype), [verdict])


def parse(argv: Sequence[str] | None, project: Project) -> argparse.Namespace:
    parser = Parser(description=__doc__)
    add_network(parser, project)
    add_number(parser, "--steps", "how many", STEPS, (1, 100_000))
    add_ports(parser, project)
    add_path(parser, "--data-path", "images (the sample)", "DIR")
    add_option(parser, "--drawn", "drawn numbers, not images")
    add_path(parser, "--weights", "to start from (drawn)")
    size = f"width and height of an image ({IMAGE_SIZE}, or as small as --model can)"
    add_number(parser, "--image-size", size, limits=(63, 4096), metavar="PIXELS")
    add_number(parser, "--batch-size", "images of a step", 8)
    add_seed(parser)
    watched = "print a parameter and its gradient at each step; may be repeated"
    add_option(parser, "--watch", watched, str, "NAME", [])
    add_results(parser)
    args = parser.parse_args(argv)
    project.check(parser, args)
    return args


def watch(names: list[str], pair: TrainingPair, reports: Reports) -> list[str]:
    """Return lines with norm and largest magnitude of parameters and gradients, step by step.

    Raises UserError where there is no such parameter.
    """
    partner = dict(parameter_pairs(pair.pairs(), reports))
    lines = []
    for name in names:
        if name not in partner:
            raise UserError(f"--watch {name}: no such parameter; they are {', '.join(partner)}")
        lines.append(f"{name}: norm and largest magnitude, PyTorch then PaddlePaddle")
        for step in range(min(len(report["rows"]) for report in reports.values())):
            for kind in ("before", "gradient", "after"):
                cells = []
                for side, parameter in (("torch", name), ("paddle", partner[name])):
                    norms = reports[side]["tensors"][step][kind].get(parameter)
                    cells.append(f"{norms[0]:.12g} {norms[1]:.12g}" if norms else "none")
                lines.append(f"  step {step + 1:3} {kind:9} {'   '.join(cells)}")
    return lines
