"""The command `portproof`: one of its subcommands, each with options of its own (--help)."""

import difflib
import importlib
import sys
from collections.abc import Sequence

from portproof.cli.project import NONE, Project
from portproof.system import errors
from portproof.system.errors import UserError

USAGE = "usage: portproof COMMAND [options]    (portproof COMMAND --help shows them)"
STATUSES = "0 aligned or done, 1 diverged or something is left, 2 wrong usage or bad input"
COMMANDS = {  # portproof/cli has a module of each name
    "align": "every step of a port, checked in order: is it the same training, and where not",
    "forward": "same weights, same inputs: where do the two networks first differ, and why",
    "data": "same images, both loaders: where do the streams of samples first differ, and why",
    "training": "same start, same batches: which step of the training differs first, and why",
    "runs": "do finished runs agree: a test of equivalence with its margin stated",
    "convert": "convert a PyTorch project to PaddlePaddle by a converter, and finish it",
    "transfer": "carry weights from one framework to the other, every bit of them",
}


def main(argv: Sequence[str] | None = None, project: Project = NONE) -> int:
    """Run a subcommand and return its exit status; without one, show them. Raises UserError."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help"):
        width = max(map(len, COMMANDS))
        commands = [f"  {name:{width}}  {what}" for name, what in COMMANDS.items()]
        print(USAGE, "", *commands, "", f"Exit status: {STATUSES}.", sep="\n")
        return 0
    name, *options = words
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise UserError(f"there is no command {name}{hint} (see --help)")
    return importlib.import_module(f"portproof.cli.{name}").main(options, project)


def run() -> None:
    """Run the command as a program: leave with its exit status, at a user's mistake by one line."""
    name = sys.argv[1] if len(sys.argv) > 1 and sys.argv[1] in COMMANDS else ""
    sys.argv[0] = f"portproof {name}".rstrip()  # as usage and errors name it
    errors.run(main)
