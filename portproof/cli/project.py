"""The ports that a command works on, and what a project knows of itself."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from portproof.cli.options import add_path
from portproof.core import streams
from portproof.core.streams import Images
from portproof.core.training_pair import IMAGE_SIZE, TrainingPair
from portproof.system.command_line import Parser, add_option
from portproof.system.errors import UserError
from portproof.system.frameworks import FRAMEWORKS
from portproof.worker.cache import Records
from portproof.worker.client import Side, Sides


@dataclass(frozen=True)
class Project:
    """A project that has entries of its own to these commands. Sizes are in pixels."""

    name: str = ""
    root: Path | None = None  # its folder: of converters' environments, and what ports import
    ports: dict[str, Path] = field(default_factory=dict)  # by framework
    networks: dict[str, int] = field(default_factory=dict)  # by name: the smallest image
    network: str | None = None  # the usual one of `networks`
    sample: Callable[[], Path] | None = None  # returns a folder with train/ and val/ of images
    draw: Callable[[Path], Path] | None = None  # makes such a folder of a few images
    records: Path | None = None  # what workers did before; none: in the user's cache
    sample_size: int = 64
    image_size: int = 224  # of other images than the sample's
    batch_size: int = 32

    def images(self, data_path: Path | None) -> Path:
        """Return the folder that is named, or the sample. Raises UserError where there is none."""
        if data_path is None and self.sample is None:
            raise UserError("name a folder of images by --data-path")
        return data_path or self.sample()

    def choose(self, args: argparse.Namespace, target: Path, limit: int, workers: int) -> Images:
        """Return some images that are put into `target`, of each split `limit`; 0: all.

        The options say how both loaders are to give them; else it is the usual way.
        """
        usual_size = self.image_size if args.data_path else self.sample_size
        size = args.image_size or max(usual_size, self.smallest(getattr(args, "model", None)))
        batch_size = args.batch_size or self.batch_size
        folder = streams.choose(self.images(args.data_path), target, limit, batch_size)
        return Images(folder, size, batch_size, args.seed, workers)

    def smallest(self, network: str | None) -> int:
        """Return the size of the smallest image that a network takes."""
        return self.networks.get(network, 1)

    def check(self, parser: Parser, args: argparse.Namespace) -> None:
        """Tell the user of files that are not there, and of images too small for the network."""
        weights, folder, size = getattr(args, "weights", None), args.data_path, args.image_size
        if weights is not None and not weights.is_file():
            parser.error(f"--weights {weights}: there is no such file")
        if folder is not None and not folder.is_dir():
            parser.error(f"--data-path {folder}: there is no such folder")
        network = getattr(args, "model", None)
        least = self.smallest(network)
        if size is not None and size < least:
            parser.error(f"--image-size {size}: {network} takes images of {least} pixels or more")

    def pair(self, args: argparse.Namespace, folder: Path) -> TrainingPair:
        """Return the two ports that the options name, to be trained; they write into `folder`."""
        return TrainingPair(
            sides(args, self),
            folder,
            args.seed,
            args.weights,
            image_size=args.image_size or max(IMAGE_SIZE, self.smallest(args.model)),
            model=args.model,
            draw=self.draw,
            records=Records(self.records),
        )


NONE = Project()


def add_network(parser: argparse._ActionsContainer, project: Project) -> None:
    """Add the option that says which of the project's networks it is, if it has several."""
    if project.networks:
        text = f"this repository's own network ({project.network})"
        add_option(parser, "--model", text, sorted(project.networks), default=project.network)
    else:
        parser.set_defaults(model=None)


def add_ports(parser: argparse._ActionsContainer, project: Project) -> None:
    """Add the options that name the two ports; without them they are the project's."""
    for framework in FRAMEWORKS:
        port = f"the port file of {framework}'s side (portproof/port.py has the contract)"
        add_path(parser, f"--{framework}-port", port)
        if framework in project.ports:
            tree = f"a changed copy of {project.ports[framework].parent.name}"
            add_path(parser, f"--{framework}-tree", tree, "DIR")


def add_named_ports(parser: Parser) -> None:
    """Add two words that name the two ports as the options of `add_ports` do."""
    for framework in FRAMEWORKS:
        parser.add_argument(
            f"{framework}_port",
            nargs="?",  # without a type: argparse would convert the default too
            default=argparse.SUPPRESS,  # the option's value stays where there is no such word
            metavar=f"{framework.upper()}_PORT",
            help=f"as --{framework}-port",
        )


def named_port(args: argparse.Namespace, framework: str) -> Path | None:
    """Return the port that the options name. Raises UserError where it is none, or two."""
    port, tree = (getattr(args, f"{framework}_{word}", None) for word in ("port", "tree"))
    port = port and Path(port)
    if port and tree:
        raise UserError(f"--{framework}-port and --{framework}-tree: give one of them")
    if tree and not (tree / "port.py").is_file():
        raise UserError(f"--{framework}-tree {tree}: has no port.py; name a copy of the tree")
    if port and not port.is_file():
        raise UserError(f"--{framework}-port {port}: there is no such file")
    return port or (tree / "port.py" if tree else None)


def sides(args: argparse.Namespace, project: Project) -> Sides:
    """Return the ports that the options name, or the project's. Raises UserError without one."""
    settings = {"model": args.model} if getattr(args, "model", None) else {}
    by_framework = {}
    for framework in FRAMEWORKS:
        named = named_port(args, framework)
        port = named or project.ports.get(framework)
        if port is None:
            raise UserError(f"name the port of {framework}'s side: --{framework}-port FILE")
        is_original = named is None
        by_framework[framework] = Side(framework, port, None, settings, is_original=is_original)
    return by_framework
