"""What every command line here has in common: mistakes are one line, numbers have limits."""

import argparse
import difflib
import re
from typing import Any, NoReturn

from portproof.system import errors

LARGEST_SEED = 2**63 - 1


class Parser(argparse.ArgumentParser):
    """A parser whose mistakes are one line on standard error, with exit status 2.

    Descriptions are shown as they are written, and options must be written out: one that a later
    version adds could not be told from an abbreviation.
    """

    def __init__(self, **settings: Any) -> None:
        raw = argparse.RawDescriptionHelpFormatter
        super().__init__(formatter_class=raw, allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        errors.fail(f"{message} (see --help)")

    def parse_args(self, args=None, namespace=None) -> argparse.Namespace:
        options, unknown = self.parse_known_args(args, namespace)
        if unknown:
            self.error(self._unknown_option(unknown[0]))
        return options

    def _unknown_option(self, word: str) -> str:
        if not word.startswith("-"):
            return f"{word!r} belongs to no option"
        name = word.split("=")[0]
        near = difflib.get_close_matches(name, self._option_string_actions, n=1)
        return f"there is no option {name}" + (f"; did you mean {near[0]}?" if near else "")


def _number(kind, smallest, largest, unit="number"):
    """Return an argparse type for a number within [smallest, largest]."""

    def convert(text: str):
        try:
            number = kind(text)
        except ValueError:
            number = None
        if number is None or not smallest <= number <= largest:  # NaN fails the comparison too
            raise argparse.ArgumentTypeError(
                f"{text!r} is no {unit} from {smallest:g} to {largest:g}"
            )
        return number

    return convert


def whole(smallest: int, largest: int = 1_000_000):
    """Return an argparse type for a whole number within [smallest, largest]."""
    return _number(int, smallest, largest, "whole number")


def real(smallest: float, largest: float):
    """Return an argparse type for a number within [smallest, largest]."""
    return _number(float, smallest, largest)


def device(text: str) -> str:
    """An argparse type for auto, cpu, gpu or gpu:NUMBER."""
    name = text.replace("cuda", "gpu")
    if not re.fullmatch(r"auto|cpu|gpu(:\d+)?", name):
        raise argparse.ArgumentTypeError(f"{text!r} is none of auto, cpu, gpu, gpu:NUMBER")
    return name
