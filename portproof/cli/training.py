"""Both sides train from the same weights on the same batches: which step differs first, and why.

    portproof training --torch-port a/port.py --paddle-port b/port.py --steps 100
    portproof training --torch-port a/port.py --paddle-port b/port.py --data-path DIR --watch WEIGHT

Loss, logits, gradients, parameters, the optimizer's state and the learning rate of each step, in
float64 and float32, with the same units dropped. Exit status: 0 aligned, 1 diverged, 2 wrong usage.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from portproof.checks.training import check_training
from portproof.cli.project import NONE, Project, add_network, add_ports, sides
from portproof.core.step_compare import losses, parameter_pairs
from portproof.core.training_pair import IMAGE_SIZE, TrainingPair
from portproof.core.verdict import DIVERGED, Verdict
from portproof.report import align as align_report
from portproof.report import training as training_report
from portproof.system.atomic import write_result
from portproof.system.command_line import LARGEST_SEED, Parser, whole
from portproof.system.errors import UserError
from portproof.system.frameworks import NAMES
from portproof.system.versions import package_versions
from portproof.worker.cache import Records
from portproof.worker.client import kept_running, scratch

STEPS = 10


def main(argv: Sequence[str] | None = None, project: Project = NONE) -> int:
    args = parse(argv, project)
    with scratch() as folder, kept_running():
        data_path = None if args.drawn else project.images(args.data_path)
        pair = TrainingPair(
            sides(args, project),
            folder / "pair",
            args.seed,
            args.weights,
            data_path,
            args.image_size or max(IMAGE_SIZE, project.smallest(args.model)),
            args.batch_size,
            args.model,
            draw=project.draw,
            records=Records(project.records),
        )
        pair.folder.mkdir()
        pair.prepare()
        start = time.perf_counter()
        verdict, records = check_training(pair, args.steps, args.drawn)
        verdict.seconds = time.perf_counter() - start
        verdict.details = training_report.blocks(records)
        watched = watch(args.watch, pair, records["float64"])
    return tell(args, verdict, records, watched)


def parse(argv: Sequence[str] | None, project: Project) -> argparse.Namespace:
    parser = Parser(description=__doc__)
    add_network(parser, project)
    parser.add_argument(
        "--steps", type=whole(1, 100_000), default=STEPS, metavar="N", help=f"how many ({STEPS})"
    )
    add_ports(parser, project)
    parser.add_argument("--data-path", type=Path, metavar="DIR", help="images (the sample)")
    parser.add_argument("--drawn", action="store_true", help="drawn numbers, not images")
    parser.add_argument("--weights", type=Path, metavar="FILE", help="to start from (drawn)")
    parser.add_argument(
        "--image-size",
        type=whole(63, 4096),
        metavar="PIXELS",
        help=f"width and height of an image ({IMAGE_SIZE}, or as small as --model can)",
    )
    parser.add_argument(
        "--batch-size", type=whole(1), default=8, metavar="N", help="images of a step (8)"
    )
    parser.add_argument(
        "--seed", type=whole(0, LARGEST_SEED), default=0, metavar="N", help="of all draws (0)"
    )
    parser.add_argument(
        "--watch",
        action="append",
        default=[],
        metavar="NAME",
        help="print a parameter and its gradient at each step; may be repeated",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result as JSON")
    parser.add_argument("--report", type=Path, metavar="DIR", help="write a page to look at")
    args = parser.parse_args(argv)
    for option in ("weights", "data_path"):
        path = getattr(args, option)
        if path is not None and not path.exists():
            parser.error(f"--{option.replace('_', '-')} {path}: there is no such path")
    project.check_size(parser, args.image_size, args.model)
    return args


def watch(names: list[str], pair: TrainingPair, reports: dict[str, dict]) -> list[str]:
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
                for side, own in (("torch", name), ("paddle", partner[name])):
                    values = reports[side]["tensors"][step][kind].get(own)
                    none = values is None
                    cells.append("none" if none else f"{values[0]:.12g} {values[1]:.12g}")
                lines.append(f"  step {step + 1:3} {kind:9} {'   '.join(cells)}")
    return lines


def tell(
    args: argparse.Namespace, verdict: Verdict, records: dict[str, dict], watched: list[str]
) -> int:
    """Print, write what was asked for, and return the exit status."""
    print(
        f"{'step':>5} {'lr':>12} {NAMES['torch']:>16} {NAMES['paddle']:>16}  difference (float64)"
    )
    reports = records["float64"]
    for step, row in enumerate(reports["torch"]["rows"]):
        pair = [row["loss"], np.nan]
        if step < len(reports["paddle"]["rows"]):
            pair[1] = reports["paddle"]["rows"][step]["loss"]
        line = f"{step + 1:5} {row['lr']:12.6g} {pair[0]:16.12f} {pair[1]:16.12f}"
        print(f"{line}  {abs(pair[0] - pair[1]):.1e}")
    print("\n".join(watched))
    found = {
        "aligned": verdict.aligned,
        "checkpoints": [verdict.as_dict()],
        "first_divergence": "training" if verdict.verdict == DIVERGED else None,
        "losses": {dtype: losses(own) for dtype, own in records.items()},
        "versions": package_versions(),
    }
    print(align_report.as_text(found, [verdict]))
    if args.json:
        write_result(args.json, found)
    if args.report:
        print(f"look at: {align_report.write_page(args.report, found, [verdict])}")
    return 0 if found["aligned"] else 1
