"""The options that say which two networks a tool works on, the same for every tool."""

import argparse
import json
from dataclasses import replace
from typing import Any

from portproof.cli.project import Project, add_network, add_ports, named_port
from portproof.cli.project import sides as project_sides
from portproof.system.command_line import add_option
from portproof.system.errors import UserError
from portproof.system.frameworks import FRAMEWORKS
from portproof.worker.client import Side, Sides


def add_arguments(parser: argparse.ArgumentParser, project: Project) -> None:
    """Add the options in groups of their own."""
    usual = f" (without these: this repository's {project.name})" if project.name else ""
    group = parser.add_argument_group(f"networks{usual}")
    add_network(group, project)
    network = "a class or function that returns the network; FILE.py:CALLABLE also serves"
    for framework in FRAMEWORKS:
        add_option(group, f"--{framework}-model", network, str, "MODULE:CALLABLE")
    add_option(group, "--num-classes", "passed on as num_classes=N", int, "N")
    add_option(group, "--model-args", 'more arguments, as {"name": value}', json_object, "JSON")
    for framework in FRAMEWORKS:
        arguments = f"arguments for {framework}'s network alone"
        add_option(group, f"--{framework}-args", arguments, json_object, "JSON")
    shape = "what the network takes, for networks not of images (1,3,224,224)"
    add_option(group, "--input-shape", shape, _shape, "N,C,H,W")
    dtypes, dtype = ["float32", "int64"], "int64 for networks of words (float32)"
    add_option(group, "--input-dtype", dtype, dtypes, default="float32")
    partners = "these two layers are partners, whatever their names; may be repeated"
    add_option(group, "--map", partners, _pair, "TORCH=PADDLE", [])
    add_ports(group, project)


def json_object(text: str) -> dict[str, Any]:
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


def sides(args: argparse.Namespace, project: Project) -> Sides:
    """Return the two sides that the options name. Raises UserError where only one is named."""
    models = {framework: getattr(args, f"{framework}_model") for framework in FRAMEWORKS}
    named = [framework for framework in FRAMEWORKS if models[framework]]
    if not named:
        if args.model_args or args.torch_args or args.paddle_args:
            raise UserError("--model-args are for --torch-model and --paddle-model")
        classes = {} if args.num_classes is None else {"classes": args.num_classes}
        ports = project_sides(args, project)
        settings = {name: port.settings | classes for name, port in ports.items()}
        return {name: replace(ports[name], settings=settings[name]) for name in ports}
    if len(named) == 1:
        other = "paddle" if named == ["torch"] else "torch"
        what = f"--{named[0]}-model needs --{other}-model beside it"
        raise UserError(f"{what}: the two make the pair")
    networks = {}
    for framework, name in models.items():
        arguments = (args.model_args or {}) | (getattr(args, f"{framework}_args") or {})
        if args.num_classes is not None:
            arguments["num_classes"] = args.num_classes
        port = named_port(args, framework) or project.ports.get(framework)
        networks[framework] = Side(framework, port, {"name": name, "arguments": arguments})
    return networks
