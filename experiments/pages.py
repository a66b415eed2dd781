"""Pages of results, in each language that has a template for them."""

import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from common.tables import write_csv
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


def write_table(stem: Path, name: str, rows: Sequence[Any], **values: Any) -> list[Path]:
    """Write records as STEM.csv and as the page `name`, which shows `rows` and the `values`."""
    lines = list(map(asdict, rows))
    write_csv(stem.with_suffix(".csv"), list(lines[0]), lines)
    return write(stem, name, lambda words: {"rows": rows, **values})


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
    versions = ", ".join(f"{name} {number}" for name, number in package_versions().items())
    return f"{versions}; {processor.describe()[1]}, {processor.available_cores()} cores"
