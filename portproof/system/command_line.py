"""What every command line here has in common: mistakes are one line, numbers have limits."""

import argparse
import difflib
import re
from collections.abc import Collection, Iterable
from contextlib import suppress
from typing import Any, NoReturn

from portproof.system import errors

LARGEST_SEED = 2**63 - 1


class Parser(argparse.ArgumentParser):
    """A parser whose mistakes are one line on standard error, with exit status 2.

    It takes no abbreviations: a later version may add an option that begins alike.
    """

    def __init__(self, **settings: Any) -> None:
        raw = argparse.RawDescriptionHelpFormatter
        super().__init__(formatter_class=raw, allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        errors.fail(f"{message} (see --help)")

    def parse_args(self, args=None, namespace=None) -> argparse.Namespace:
        options, unknown = self.parse_known_args(args, namespace)
        if unknown and not unknown[0].startswith("-"):
            self.error(f"{unknown[0]!r} belongs to no option")
        if unknown:
            name = unknown[0].split("=")[0]
            near = difflib.get_close_matches(name, self._option_string_actions, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            self.error(f"there is no option {name}{hint}")
        return options


def _number(kind, smallest, largest, unit="number"):
    def convert(text: str):
        with suppress(ValueError):
            number = kind(text)
            if smallest <= number <= largest:
                return number
        raise argparse.ArgumentTypeError(f"{text!r} is no {unit} from {smallest:g} to {largest:g}")

    return convert


def whole(smallest: int, largest: int = 1_000_000):
    """Return an argparse type for a whole number within [smallest, largest]."""
    return _number(int, smallest, largest, "whole number")


def real(smallest: float, largest: float):
    """Return an argparse type for a number within [smallest, largest]."""
    return _number(float, smallest, largest)


def names_of(kind: str, known: Collection[str]):
    """Return an argparse type for a list with commas of `known` names, in their order."""

    def convert(text: str) -> list[str]:
        chosen = [name.strip() for name in text.split(",") if name.strip()]
        unknown = [name for name in chosen if name not in known]
        if unknown or not chosen:
            what = f"{', '.join(unknown) or 'nothing'}: no {kind}"
            raise argparse.ArgumentTypeError(f"{what}; they are {', '.join(known)}")
        return [name for name in known if name in chosen]

    return convert


def device(text: str) -> str:
    """An argparse type for auto, cpu, gpu or gpu:NUMBER."""
    name = text.replace("cuda", "gpu")
    if not re.fullmatch(r"auto|cpu|gpu(:\d+)?", name):
        raise argparse.ArgumentTypeError(f"{text!r} is none of auto, cpu, gpu, gpu:NUMBER")
    return name


def add_options(group: argparse._ActionsContainer, rows: Iterable[tuple]) -> None:
    """Add a table of options to a parser, or to a group of one.

    A row is name and help; if no switch, the type or the choices, and what --help calls its value;
    the default.
    """
    for row in rows:
        add_option(group, *row)


def add_option(group, name: str, text: str, kind=bool, metavar=None, default=None) -> None:
    """Add an option; `kind` is an argparse type, a list of choices, or bool for a switch.

    It may also be a type with the text that stands for no value. An option whose default is a list
    may be given several times.
    """
    if kind is bool:
        group.add_argument(name, action="store_true", help=text)
        return
    more: dict[str, Any] = {"type": kind}
    if isinstance(kind, tuple):
        kind, missing = kind
        more = {"type": kind, "nargs": "?", "const": kind(missing)}
    elif isinstance(kind, list):
        more = {"type": type(kind[0]), "choices": kind}
    if isinstance(default, list):
        more["action"] = "append"
    group.add_argument(name, metavar=metavar, default=default, help=text, **more)
