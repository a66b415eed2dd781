"""Pages of results, in each language that has a template for them."""

import json
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from portproof.report import markdown
from portproof.system import processor
from portproof.system.versions import package_versions

TEMPLATES = Path(__file__).parent / "templates"  # NAME.LANGUAGE.md.j2, and words in .json
ENDINGS = {"en": ".md", "zh": ".zh-CN.md"}  # of a page, by its language

Words = dict[str, Any]  # of the tables of a page


def write(stem: Path, name: str, values: Callable[[Words], dict[str, Any]]) -> list[Path]:
    """Write the page `name` as STEM.md and STEM.zh-CN.md, atomically; return what was written.

    `values` returns what the template shows, in the words of a language. It also has `stem`, the
    name of the files beside the page, and `made_on`.
    """
    pages = []
    for language, ending in ENDINGS.items():
        template = TEMPLATES / f"{name}.{language}.md.j2"
        if template.exists():
            shown = values(read_words(name, language))
            text = markdown.render(template, stem=stem.name, made_on=made_on(), **shown)
            pages.append(stem.with_name(stem.name + ending))
            markdown.write(pages[-1], text)
    return pages


def read_words(name: str, language: str) -> Words:
    """Return the words of a page; none where its template has them all."""
    file = TEMPLATES / f"{name}.{language}.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def spread(numbers: Sequence[float | None]) -> str:
    """Return mean and standard deviation, "–" where a number is missing."""
    if None in numbers:
        return "–"
    mean = statistics.mean(numbers)
    return f"{mean:.2f} ± {statistics.stdev(numbers):.2f}" if len(numbers) > 1 else f"{mean:.2f}"


def made_on() -> str:
    """Return versions, processor and cores of this machine, as the pages have them."""
    _, model, _ = processor.describe()
    versions = ", ".join(f"{name} {number}" for name, number in package_versions().items())
    return f"{versions}; {model}, {processor.available_cores()} cores"
