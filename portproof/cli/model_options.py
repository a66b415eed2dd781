"""The options that say which two networks a tool works on, the same for every tool."""

import argparse
import json
from dataclasses import replace
from typing import Any

from portproof.cli.project import Project, add_network, add_ports, named_port
from portproof.cli.project import sides as project_sides
from portproof.system.errors import UserError
from portproof.system.frameworks import FRAMEWORKS
from portproof.worker.client import Side


def add_arguments(parser: argparse.ArgumentParser, project: Project) -> None:
    """Add the options in groups of their own."""
    usual = f" (without these: this repository's {project.name})" if project.name else ""
    group = parser.add_argument_group(f"networks{usual}")
    add_network(group, project)
    for framework in FRAMEWORKS:
        group.add_argument(
            f"--{framework}-model",
            metavar="MODULE:CALLABLE",
            help="a class or function that returns the network; FILE.py:CALLABLE also serves",
        )
    group.add_argument("--num-classes", type=int, metavar="N", help="passed on as num_classes=N")
    group.add_argument(
        "--model-args", type=json_object, metavar="JSON", help='more arguments, as {"name": value}'
    )
    for framework in FRAMEWORKS:
        group.add_argument(
            f"--{framework}-args",
            type=json_object,
            metavar="JSON",
            help=f"arguments for {framework}'s network alone",
        )
    group.add_argument(
        "--input-shape",
        type=_shape,
        metavar="N,C,H,W",
        help="what the network takes, for networks not of images (1,3,224,224)",
    )
    group.add_argument(
        "--input-dtype",
        choices=("float32", "int64"),
        default="float32",
        help="int64 for networks of words (float32)",
    )
    group.add_argument(
        "--map",
        action="append",
        type=_pair,
        metavar="TORCH=PADDLE",
        help="these two layers are partners, whatever their names; may be repeated",
    )
    add_ports(group, project)


def json_object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no JSON ({error})") from error
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f'{text!r} is no JSON object, such as {{"depth": 18}}')
    return value


def _shape(text: str) -> list[int]:
    try:
        shape = [int(word) for word in text.split(",")]
    except ValueError:
        shape = []
    if not shape or min(shape) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no shape, such as 1,3,224,224")
    return shape


def _pair(text: str) -> tuple[str, str]:
    torch, equals, paddle = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is no pair, such as conv1=stem")
    return torch, paddle


def sides(args: argparse.Namespace, project: Project) -> dict[str, Side]:
    """Return the two sides that the options name. Raises UserError where only one is named."""
    named = [framework for framework in FRAMEWORKS if getattr(args, f"{framework}_model")]
    if len(named) == 1:
        other = "paddle" if named == ["torch"] else "torch"
        raise UserError(
            f"--{named[0]}-model needs --{other}-model beside it: the two make the pair"
        )
    if not named:
        if args.model_args or args.torch_args or args.paddle_args:
            raise UserError("--model-args are for --torch-model and --paddle-model")
        classes = {} if args.num_classes is None else {"classes": args.num_classes}
        ports = project_sides(args, project)
        return {
            name: replace(port, settings=port.settings | classes) for name, port in ports.items()
        }
    networks = {}
    for framework in FRAMEWORKS:
        arguments = dict(args.model_args or {}) | dict(getattr(args, f"{framework}_args") or {})
        if args.num_classes is not None:
            arguments["num_classes"] = args.num_classes
        model = {"name": getattr(args, f"{framework}_model"), "arguments": arguments}
        port = named_port(args, framework) or project.ports.get(framework)
        networks[framework] = Side(framework, port, model)
    return networks
