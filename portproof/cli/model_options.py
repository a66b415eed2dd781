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
    add_json_object(group, "--model-args", 'more arguments, as {"name": value}')
    for framework in FRAMEWORKS:
        add_json_object(group, f"--{framework}-args", f"arguments for {framework}'s network alone")
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


def add_json_object(parser: argparse._ActionsContainer, option: str, help: str) -> None:
    parser.add_argument(option, type=_json_object, metavar="JSON", help=help)


def _json_object(text: str) -> dict[str, Any]:
    try:
        arguments = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no JSON ({error})") from error
    if not isinstance(arguments, dict):
        raise argparse.ArgumentTypeError(f'{text!r} is no JSON object, such as {{"depth": 18}}')
    return arguments


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
    models = {framework: getattr(args, f"{framework}_model") for framework in FRAMEWORKS}
    missing = [framework for framework in FRAMEWORKS if not models[framework]]
    if len(missing) == 1:
        other = "paddle" if missing == ["torch"] else "torch"
        raise UserError(
            f"--{other}-model needs --{missing[0]}-model beside it: the two make the pair"
        )
    if missing:
        return _ports(args, project)
    networks = {}
    for framework, name in models.items():
        arguments = (args.model_args or {}) | (getattr(args, f"{framework}_args") or {})
        if args.num_classes is not None:
            arguments["num_classes"] = args.num_classes
        port = named_port(args, framework) or project.ports.get(framework)
        networks[framework] = Side(framework, port, {"name": name, "arguments": arguments})
    return networks


def _ports(args: argparse.Namespace, project: Project) -> dict[str, Side]:
    if args.model_args or args.torch_args or args.paddle_args:
        raise UserError("--model-args are for --torch-model and --paddle-model")
    classes = {} if args.num_classes is None else {"classes": args.num_classes}
    ports = project_sides(args, project)
    return {name: replace(port, settings=port.settings | classes) for name, port in ports.items()}
