"""What MkDocs does beyond its own as the site is built: see its documentation, *hooks*.

The code that chapters name is put side by side; source files that a page links to become pages;
the navigation follows the files; each page links to its twin in the other language.
"""

import html
import logging
import posixpath
import re
from pathlib import Path

import jieba
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.nav import Navigation
from mkdocs.structure.pages import Page
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer, get_lexer_for_filename
from pygments.util import ClassNotFound

from common.paths import CACHE_DIR, ROOT
from course import sources

LANGUAGES = {"en": "English", "zh": "简体中文"}
WORDS = {  # of the menu
    "en": ("Home", "Course", "Look up", "Results"),
    "zh": ("首页", "课程", "查阅", "结果"),
}
CHINESE = "[\u3000-\u303f\u4e00-\u9fff\uff00-\uffef]"
# What the Chinese menu calls the pages of results that stand in English only.
RESULTS_ZH = {
    "convert": "手工移植、PaConvert 与 X2Paddle",
    "curves": "两条损失曲线在哪一步分开",
    "libraries": "torchvision 与 paddle.vision 的网络是否相同",
}
TWIN = ".zh-CN"  # ends the name of a page of results that stands in Chinese too
BROKEN_LINE = re.compile(f"(?<={CHINESE})\n *(?={CHINESE})")  # a browser would show a space there
OUTSIDE = re.compile(r"\]\((?:\.\./)+(?!images/|results/|notebooks/)(?P<path>[\w./-]+)\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """List the pages: chapters by number, then those to look something up in, then results."""
    jieba.setLogLevel(logging.WARNING)
    CACHE_DIR.mkdir(exist_ok=True)
    jieba.dt.tmp_dir = str(CACHE_DIR)  # it keeps its dictionary in the system's folder otherwise
    language = config.theme["language"]
    names = [path.name for path in sources.pages(language) if path.name != "index.md"]
    chapters = [f"{language}/{name}" for name in names if name[0].isdigit()]
    others = [f"{language}/{name}" for name in names[len(chapters) :]]
    parts = (f"{language}/index.md", chapters, others, results(language))
    config.nav = [{title: part} for title, part in zip(WORDS[language], parts, strict=True)]
    return config


def results(language: str) -> list[str | dict[str, str]]:
    """List the pages of results, each in the language if it stands in it."""
    entries = []
    for path in sorted((ROOT / "docs/results").glob("*.md")):
        if path != in_language(path, language):
            continue
        page = f"results/{path.name}"
        to_name = language == "zh" and not path.stem.endswith(TWIN)
        entries.append({RESULTS_ZH.get(path.stem, path.stem): page} if to_name else page)
    return entries


def in_language(path: Path, language: str) -> Path:
    """Return the file of a page of results in the language, or in English where it has none."""
    english = path.with_stem(path.stem.removesuffix(TWIN))
    chinese = english.with_stem(english.stem + TWIN)
    return chinese if language == "zh" and chinese.exists() else english


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Let the pages of the language lie at the top, and add the source files that they link to."""
    language = config.theme["language"]
    for file in list(files):
        if file.src_uri.startswith(f"{language}/"):
            file.dest_uri = file.dest_uri.removeprefix(f"{language}/")
    pages = [*sources.pages(language), *(ROOT / "docs/results").glob("*.md")]
    for path in sorted({path for page in pages for path in outside(page)}):
        code = (ROOT / path).read_text()
        content = f"# {path}\n\n{highlighted_file(path, code)}\n"
        files.append(File.generated(config, f"source/{path}.md", content=content))
    return files


def outside(page: Path) -> list[str]:
    """Return the files of the repository, but of docs/, that a page links to."""
    links = OUTSIDE.finditer(page.read_text())
    paths = [linked(match, f"docs/{page.parent.name}") for match in links]
    return [path for path in paths if (ROOT / path).is_file() and not path.startswith("docs/")]


def linked(match: re.Match, folder: str) -> str:
    """Return the file that a link of a page in the folder leads to."""
    return posixpath.normpath(posixpath.join(folder, match[0][2:-1]))


def highlighted_file(path: str, code: str) -> str:
    """Return a whole file as HTML, its lines numbered."""
    try:
        lexer = get_lexer_for_filename(path)
    except ClassNotFound:
        lexer = get_lexer_for_filename("file.txt")
    formatter = HtmlFormatter(cssclass="highlight", linenos="inline", wrapcode=True)
    text = highlight(code, lexer, formatter).rstrip("\n")
    text = text.replace("\n", "&#10;")  # on one line Markdown takes it as it is
    return f'<div data-search-exclude markdown="0">{text}</div>'


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put the trees' code where a page names it; let links to source files go to their pages."""
    source = page.file.src_uri
    if source.startswith("source/"):
        return markdown
    markdown = BROKEN_LINE.sub("", markdown)
    for line in (sources.CODE_LINE, sources.FILE_LINE):
        markdown = line.sub(side_by_side, markdown)

    folder = posixpath.dirname(source)

    def to_page(match: re.Match) -> str:
        path = f"source/{linked(match, f'docs/{folder}')}.md"
        if files.get_file_from_path(path) is None:
            return match[0]
        return f"]({posixpath.relpath(path, folder)})"

    return OUTSIDE.sub(to_page, markdown)


def side_by_side(match: re.Match) -> str:
    """Return the functions that a code line names as HTML, the frameworks beside each other."""
    blocks = []
    for torch, paddle in sources.pairs_of(match):
        heads = (f"{html.escape(source.file)}:{source.line}" for source in (torch, paddle))
        cells = [f'<div class="m-head">{head}</div>' for head in heads]
        lines = {"torch": highlighted(torch.lines), "paddle": highlighted(paddle.lines)}
        for block in sources.align(torch.lines, paddle.lines):
            kind = "m-same" if block.same else "m-other"
            for side in ("torch", "paddle"):
                start, end = getattr(block, side)
                text = "".join(f"<span>{line}</span>" for line in lines[side][start:end])
                empty = "" if text else " m-none"
                cells.append(f'<div class="m-{side} {kind}{empty}">{text}</div>')
        blocks.append(f'<div class="mirror highlight" data-search-exclude>{"".join(cells)}</div>')
    return "\n\n".join(blocks)


def highlighted(lines: list[str]) -> list[str]:
    """Return each line of Python as HTML; an empty one keeps its height."""
    text = highlight("\n".join(lines), PythonLexer(stripnl=False), HtmlFormatter(nowrap=True))
    return [line or "&nbsp;" for line in text.split("\n")[: len(lines)]]


def on_page_context(context: dict, page: Page, config: MkDocsConfig, nav: Navigation) -> dict:
    """Let the language button lead to the same page in the other language."""
    language = config.theme["language"]
    here = page.url if not page.file.src_uri.startswith("source/") else "index.html"
    config.extra["alternate"] = []
    for code, name in LANGUAGES.items():
        there = here
        if page.file.src_uri.startswith("results/"):
            there = f"results/{in_language(ROOT / 'docs' / page.file.src_uri, code).stem}.html"
        link = there if code == language else f"../{code}/{there}"
        config.extra["alternate"].append({"name": name, "lang": code, "link": link})
    return context


def on_post_build(config: MkDocsConfig) -> None:
    """Leave a first page that leads to the languages, above both."""
    top = Path(config.site_dir).parent
    links = [f'<p><a href="{code}/index.html">{name}</a></p>' for code, name in LANGUAGES.items()]
    text = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><title>AlexNet, twice</title>'
        '<script>location.replace((navigator.language || "").startsWith("zh") ? "zh/index.html"'
        f' : "en/index.html")</script></head><body>{"".join(links)}</body></html>\n'
    )
    (top / "index.html").write_text(text)
