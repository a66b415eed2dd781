"""The part of scripts/doctor.sh that looks into .venv: packages against their pins, and imports."""

import subprocess
import sys
from contextlib import suppress
from importlib import metadata

from pip._vendor.packaging.requirements import Requirement

PROJECT = "portproof"
NEEDED = ("", "train", "torch", "paddle", "export", "fast", "dev")  # what scripts/setup.sh installs
EXTRAS = {
    "boards": "--tensorboard and --visualdl",
    "docs": "scripts/docs.sh, which installs it itself",
}
# What to run to see that a framework works, and not only that it is there.
TRIALS = {
    "torch and torchvision fit each other": "import torch, torchvision; torch.ones(2).sum().item()",
    "paddle computes": "import paddle; paddle.ones([2]).sum().item()",
}
GPUS = {
    "torch": "import torch; print(torch.cuda.device_count())",
    "paddle": "import paddle; print(paddle.device.cuda.device_count())",
}
AGAIN = "delete .venv, then bash scripts/setup.sh"


def main() -> int:
    try:
        texts = metadata.requires(PROJECT) or ()
    except metadata.PackageNotFoundError:
        print(f"MISSING   {PROJECT} in .venv: {AGAIN}")
        return 1
    requirements = [Requirement(text) for text in texts]
    checks = [check_extra(requirements, extra) for extra in (*NEEDED, *EXTRAS)]
    checks += [check_trial(title, program) for title, program in TRIALS.items()]
    for name, program in GPUS.items():
        count = run(program).stdout.strip().splitlines()[-1:] or ["0"]
        print(f"ok        GPUs that {name} can use: {count[0]}")
    if all(checks):
        tell_of_converters()
    return 0 if all(checks) else 1


def check_extra(requirements: list[Requirement], extra: str) -> bool:
    """Tell what is installed of an extra, "" for none; say whether all that is needed is there."""
    wrong, right = [], []
    for requirement in requirements:
        if not applies(requirement, extra) or (extra and applies(requirement, "")):
            continue  # of another extra, or needed without any
        version = installed(requirement.name)
        fits = version is not None and requirement.specifier.contains(version, prereleases=True)
        (right if fits else wrong).append(f"{requirement.name} {version or 'none'}")
    title = extra or PROJECT
    if right:
        print(f"ok        {title}: {', '.join(right)}")
    if wrong and extra in EXTRAS:
        command = f".venv/bin/python -m pip install --editable '.[{extra}]'"
        print(f"optional  {title}: {', '.join(wrong)}; for {EXTRAS[extra]}: {command}")
    elif wrong:
        print(f"MISSING   {title}: {', '.join(wrong)} is not what pyproject.toml asks for: {AGAIN}")
    return not wrong or extra in EXTRAS


def check_trial(title: str, program: str) -> bool:
    """Tell whether a program runs, and say it."""
    done = run(program)
    lines = done.stderr.strip().splitlines() or ["no word"]
    works = done.returncode == 0
    print(f"ok        {title}" if works else f"MISSING   {title}: no ({lines[-1]}): {AGAIN}")
    return works


def tell_of_converters() -> None:
    from common.paths import ROOT
    from portproof.convert import environments

    for converter, title in environments.TITLES.items():
        environment = environments.Environment(converter, ROOT)
        folder = environment.folder.name
        if environment.is_made:
            print(f"ok        {title}: {folder}")
        elif converter == "x2paddle" and sys.version_info[:2] not in environments.X2PADDLE_PYTHONS:
            print(f"optional  {title}: needs Python 3.10 or 3.11 in .venv; PaConvert does not")
        else:
            print(f"optional  {title}: tools/convert_project.py makes {folder} at first use")


def applies(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def installed(name: str) -> str | None:
    """Return the version of a package, None where it is not there; a GPU build counts as well."""
    for package in (name, f"{name}-gpu"):
        with suppress(metadata.PackageNotFoundError):
            return metadata.version(package)
    return None


def run(program: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)


if __name__ == "__main__":
    sys.exit(main())
