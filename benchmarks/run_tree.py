"""Run train.py of a tree and time a window of its steps; one line of JSON comes out.

    python -m benchmarks.run_tree --framework torch --steps 10 -- --data-path DIR --batch-size 128

What follows the two dashes goes to train.py, which runs as ever; only what hands it its batches is
wrapped (benchmarks/window.py).
"""

import argparse
import contextlib
import sys
import tempfile
from pathlib import Path
from types import ModuleType

from benchmarks import rates
from benchmarks.window import Window, add_arguments, leave
from common import errors, memory
from common.command_line import Parser
from common.paths import ROOT


def main() -> None:
    given = sys.argv[1:]
    cut = given.index("--") if "--" in given else len(given)
    args = get_parser().parse_args(given[:cut])
    train = import_train(ROOT / f"AlexNet-{args.framework}")
    with tempfile.TemporaryDirectory() as place:
        sys.argv = ["train.py", *given[cut + 1 :], "--output-dir", f"{place}/run"]
        window = Window(args.warm_steps, args.steps)
        figures = run(train, window, args)
    leave(figures, window.loaders)


def run(train: ModuleType, window: Window, args: argparse.Namespace) -> dict[str, float]:
    """Run a tree as asked; return the figures of its window."""
    if args.framework == "torch":
        window.settle = settle_torch
    if args.read_only:
        memory.keep_freed()  # as train.py does after its first step
        loader, _, _ = train.load_data(train.parse(args.framework))
        for _ in window.watch(train.read_batches(loader, epoch=0)):
            pass
        return window.figures()
    if not args.rates:
        run_main(train, window, args.made_up)
        return window.figures()
    measured = rates.Rates(args.framework, args.rates)
    window.between = measured.measure
    run_main(train, window, args.made_up)
    return window.figures() | measured.figures()


def get_parser() -> Parser:
    parser = Parser(prog="benchmarks.run_tree", description="Time a window of train.py's steps.")
    parser.add_argument("--framework", required=True, choices=["torch", "paddle"])
    parser.add_argument("--made-up", action="store_true", help="one batch, again and again")
    parser.add_argument(
        "--rates", choices=["float32", "bfloat16"], help="the machine's, between the steps"
    )
    add_arguments(parser)
    return parser


def import_train(tree: Path) -> ModuleType:
    """Import train.py of a tree, in place of whatever of that name lies beside this file."""
    here = Path(__file__).resolve().parent
    sys.path[:] = [str(tree), *(place for place in sys.path if Path(place).resolve() != here)]
    import train

    return train


def run_main(train: ModuleType, window: Window, made_up: bool) -> None:
    """Run main() of train.py up to the end of the window."""
    read_batches = train.read_batches

    def watched(loader, epoch, first=0, device=None):
        pass_on = window.repeat if made_up else window.watch
        yield from pass_on(read_batches(loader, epoch, first, device))

    def leave(*given):
        raise Done

    train.read_batches, train.evaluate = watched, leave
    with contextlib.suppress(Done):
        train.main()


class Done(BaseException):
    """The window is over: nothing of train.py is to catch it."""


def settle_torch() -> None:
    """Wait until the device is done: on a GPU, a step returns before it is computed."""
    import torch

    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


if __name__ == "__main__":
    errors.run(main)
