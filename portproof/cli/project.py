"""The ports that a command works on, and what a project knows of itself."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from portproof.cli.options import add_path
from portproof.system.command_line import Parser
from portproof.system.errors import UserError
from portproof.worker.client import FRAMEWORKS, Side


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

    def size_of(self, data_path: Path | None, network: str | None) -> int:
        """Return the usual size of the images in a folder, the sample's if none is named."""
        size = self.image_size if data_path else self.sample_size
        return max(size, self.smallest(network))

    def smallest(self, network: str | None) -> int:
        """Return the size of the smallest image that a network takes."""
        return self.networks.get(network, 1)

    def check_size(self, parser: Parser, size: int | None, network: str | None) -> None:
        """Tell the user where a network cannot take images of this size."""
        least = self.smallest(network)
        if size is not None and size < least:
            parser.error(f"--image-size {size}: {network} takes images of {least} pixels or more")


NONE = Project()


def add_network(parser: argparse._ActionsContainer, project: Project) -> None:
    """Add the option that says which of the project's networks it is, if it has several."""
    if project.networks:
        parser.add_argument(
            "--model",
            choices=sorted(project.networks),
            default=project.network,
            help=f"this repository's own network ({project.network})",
        )
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


def sides(args: argparse.Namespace, project: Project) -> dict[str, Side]:
    """Return the two ports that the options name, or the project's.

    Raises UserError where one is missing.
    """
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
