"""X2Paddle's other routes: a traced module and ONNX carry AlexNet to Paddle's inference format.

    python tools/convert_routes.py alexnet.pth runs/inference

Both are run with the weights, and their outputs compared with the live model's in PyTorch, in
float32. Exit status: 0 aligned, 1 diverged, 2 wrong usage or bad input.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from common.paths import ROOT
from portproof.convert.environments import Environment
from portproof.system import errors
from portproof.system.atomic import write_result
from portproof.system.command_line import Parser
from portproof.system.errors import UserError
from portproof.worker.client import scratch
from tools.project import PORTS

SCRIPT = Path(__file__).parent / "shipped" / "x2paddle_route.py.txt"
ROUTES = ("trace", "onnx")
MOST = 1e-5  # relative, in float32: live AlexNets of both frameworks differ by 1e-6 (docs/results)


def main(argv: Sequence[str] | None = None) -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # scratch files go then, too
    args = parse(argv)
    python = Environment("x2paddle", ROOT).python()
    found = {route: run(python, route, args) for route in args.route or ROUTES}
    for route, one in found.items():
        verdict = "aligned" if one["relative"] < MOST else "diverged"
        print(
            f"{route}: {verdict}, largest relative difference {one['relative']:.1e}; {one['file']}"
        )
    if args.json:
        write_result(args.json, found)
    return 0 if all(one["relative"] < MOST for one in found.values()) else 1


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(prog="convert_routes.py", description=__doc__)
    parser.add_argument("weights", type=Path, metavar="WEIGHTS", help=".pth or .safetensors")
    parser.add_argument("target", type=Path, metavar="OUT", help="a folder")
    parser.add_argument(
        "--route", action="append", choices=ROUTES, help="one alone (both); may be repeated"
    )
    parser.add_argument("--force", action="store_true", help="replace what is in OUT")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result as JSON")
    args = parser.parse_args(argv)
    if not args.weights.is_file():
        parser.error(f"{args.weights}: there is no such file")
    for route in args.route or ROUTES:
        if (args.target / route).exists() and not args.force:
            parser.error(f"{args.target / route} exists; replace it by --force")
    return args


def run(python: Path, route: str, args: argparse.Namespace) -> dict:
    """Run one route; return the file and the differences. Raises UserError where it fails.

    OUT/route is whole, or what it was before.
    """
    target = (args.target / route).resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    with scratch(near=target.parent) as folder:
        made = folder.resolve() / route
        found = run_in_environment(python, route, args, made)
        if target.exists():
            os.replace(target, folder / "replaced")
        os.replace(made, target)
    return found | {"file": found["file"].replace(str(made), str(target))}


def run_in_environment(python: Path, route: str, args: argparse.Namespace, target: Path) -> dict:
    """Run a route in X2Paddle's environment, into the folder `target`, which is made."""
    words = [python, "-W", "ignore", SCRIPT, route]
    words += [PORTS["torch"].parent, args.weights.resolve(), target]
    done = subprocess.run(
        [str(word) for word in words],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        last = (lines or ["it gave no reason"])[-1]
        raise UserError(
            f"X2Paddle's route {route} failed: {last.partition('UserError: ')[2] or last}"
        )
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    errors.run(main)
