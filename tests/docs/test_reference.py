"""The reference is complete, up to date, and says nothing about one machine."""

from __future__ import annotations

import ast
import re
import runpy
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml

from docs.pages import ROOT, blocks, name, pages
from hookline.cli.main import COMMANDS, program
from hookline.config.error_codes import TITLES
from hookline.observe.metrics import Metrics
from hookline.relay.routing import SKIP_REASONS

REFERENCE = ROOT / "docs" / "reference"
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
_LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_TEST = re.compile(r"`(?P<path>tests/[\w/.-]+\.py)::(?P<function>test_\w+)`")
_MACHINE = re.compile(r"(?<![\w.])/(?:home|root|work|tmp|Users)/\S*|\b[\w-]+\.internal\b")


def _commands(group: click.Group, context: click.Context) -> Iterator[click.Context]:
    for word in group.list_commands(context):
        command = group.get_command(context, word)
        assert command is not None
        inner = click.Context(command, info_name=word, parent=context)
        yield inner
        if isinstance(command, click.Group):
            yield from _commands(command, inner)


def _headings(text: str) -> set[str]:
    """The anchors of a page: its headings in lower case, without punctuation, with hyphens."""
    lines = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in lines}


def _broken(page: Path, text: str) -> list[str]:
    """The links of a page that lead nowhere within the repository."""
    broken = []
    for link in _LINK.finditer(text):
        target, _, anchor = link["target"].partition("#")
        if target.startswith(("http://", "https://")):
            continue
        found = (page.parent / target).resolve() if target else page
        if not found.exists() or (anchor and anchor not in _headings(found.read_text())):
            broken.append(link["target"])
    return broken


def _named_tests(text: str) -> list[tuple[str, str]]:
    return [(found["path"], found["function"]) for found in _TEST.finditer(text)]


def _functions(path: Path) -> set[str]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, kinds)}


def test_every_command_and_option_is_documented() -> None:
    """Each command has a section, and each of its options stands in it with its environment variable's column."""
    text = (REFERENCE / "commands.md").read_text()
    sections = {part.split("\n")[0]: part for part in text.split("\n## ")}
    top = click.Context(program, info_name="hookline")
    contexts = list(_commands(program, top))
    assert set(COMMANDS) <= {context.info_name for context in contexts}
    for context in contexts:
        section = sections[context.command_path]
        options = [option for option in context.command.params if isinstance(option, click.Option)]
        missing = [text for option in options for text in option.opts if f"`{text}" not in section]
        assert [] == missing, context.command_path
        assert re.search(r"Examples?(, \w+)?:", section), context.command_path


def test_every_code_is_documented() -> None:
    """Each code of a finding stands in the reference with its title."""
    text = (REFERENCE / "errors.md").read_text()
    assert [] == [code for code, title in TITLES.items() if f"| `{code}` | {title} |" not in text]


def test_every_skip_reason_is_documented() -> None:
    """Each reason for which an event is skipped stands in the reference, in the order in which they are looked at."""
    text = (REFERENCE / "relay.md").read_text()
    places = [text.find(f"| `{reason}` |") for reason in SKIP_REASONS]
    assert -1 not in places
    assert sorted(places) == places


def test_every_metric_is_documented() -> None:
    """Each metric of a page that has all of them stands in the reference, with its labels."""
    text = (REFERENCE / "metrics.md").read_text()
    rows = {row.split("|")[1].strip(): row for row in text.splitlines() if row.startswith("| `hookline_")}
    found = _metrics()
    assert len(found) > 30
    assert set() == {f"`{name}`" for name in found} - rows.keys()
    assert [] == [
        (name, label) for name, labels in found.items() for label in labels if label not in rows[f"`{name}`"]
    ]


def test_alerts_are_about_metrics_that_exist() -> None:
    """Each rule has a name, an expression, a severity and words; its expression knows only what the relay serves."""
    groups = yaml.safe_load((ROOT / "docs" / "alerts.yaml").read_text())["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    for rule in rules:
        assert (
            {"alert", "expr", "labels", "annotations"}
            <= rule.keys()
            <= {"alert", "expr", "for", "labels", "annotations"}
        )
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert {"summary", "description"} == rule["annotations"].keys()
    named = {
        name for rule in rules for name in re.findall(r"\bhookline_\w+", rule["expr"] + str(rule["annotations"]))
    }
    assert len(named) > 10
    assert set() == named - _metrics().keys()
    how_to = (ROOT / "docs" / "how-to" / "watch-the-relay.md").read_text()
    assert [] == [rule["alert"] for rule in rules if f"`{rule['alert']}`" not in how_to]


def _metrics() -> dict[str, set[str]]:
    """Every family that the relay serves under its own name, with its labels."""
    generated = runpy.run_path(str(ROOT / "docs" / "generate.py"))
    _, page = Metrics(max_webhooks=1).page(generated["_REPORT"], "")
    kinds = set(re.findall(r"^# TYPE (hookline_\w+) ", page.decode(), re.MULTILINE))
    found: dict[str, set[str]] = {name: set() for name in kinds}
    for sample, labels in re.findall(r"^(hookline_\w+)(?:{(.*)})? ", page.decode(), re.MULTILINE):
        family = sample if sample in kinds else re.sub("_(bucket|sum|count)$", "", sample)
        found[family] |= set(re.findall(r'(\w+)="', labels)) - {"le"}
    return found


def test_every_log_line_is_documented() -> None:
    """What the relay's modules log stands in the reference, but for two lines that are put together."""
    text = (REFERENCE / "logs.md").read_text()
    trees = [ast.parse(path.read_text()) for path in (ROOT / "src" / "hookline" / "relay").rglob("*.py")]
    named = {name: text for tree in trees for name, text in _named_texts(tree)}
    said = set[str]()
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute | ast.IfExp):
            said |= _logged(node.func, node.args, named)
    assert len(said) > 25
    assert set() == {what for what in said if f"`{what}`" not in text}


def _named_texts(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """The texts that a module gives a name to."""
    for node in tree.body:
        match node:
            case ast.Assign([ast.Name(name)], ast.Constant(str(text))):
                yield name, text


def _logged(function: ast.expr, arguments: list[ast.expr], named: dict[str, str]) -> set[str]:
    """The events that a call of a log's method can write; also of one that says it only once, after whose it is."""
    methods = {node.attr for node in ast.walk(function) if isinstance(node, ast.Attribute)}
    what = arguments[0:1] if methods & {"debug", "info", "warning"} else []
    what += arguments[1:2] if methods & {"_tell", "_tell_of"} else []
    return {
        text
        for argument in what
        if not isinstance(argument, ast.JoinedStr)
        for node in ast.walk(argument)
        for text in _texts(node, named)
    }


def _texts(node: ast.AST, named: dict[str, str]) -> list[str]:
    match node:
        case ast.Constant(str(text)):
            return [text]
        case ast.Name(name) if name in named:
            return [named[name]]
    return []


def test_generated_parts_are_up_to_date() -> None:
    """What `python docs/generate.py` would write is what stands in the pages."""
    renewed = runpy.run_path(str(ROOT / "docs" / "generate.py"))["renewed"]
    behind = [name(page) for page in REFERENCE.glob("*.md") if renewed(page.read_text()) != page.read_text()]
    assert [] == behind, "run: python docs/generate.py"


def test_a_page_that_is_behind_is_found() -> None:
    """A marked part that somebody has changed by hand is written anew."""
    renewed = runpy.run_path(str(ROOT / "docs" / "generate.py"))["renewed"]
    assert "`HL012`" in renewed("<!-- generated: codes -->\nby hand\n<!-- end -->\n")
    assert "by hand" not in renewed("<!-- generated: codes -->\nby hand\n<!-- end -->\n")


@pytest.mark.parametrize("page", pages(), ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    """Every link within the repository leads to a file, and to a heading in it where it names one."""
    assert [] == _broken(page, page.read_text())


def test_a_broken_link_is_found() -> None:
    """A missing file, and a missing heading of a file that is there, are broken links."""
    text = "[a](docs/nowhere.md) [b](CHANGELOG.md#nothing) [c](CHANGELOG.md#added) [d](https://example.com)"
    assert ["docs/nowhere.md", "CHANGELOG.md#nothing"] == _broken(ROOT / "README.md", text)


def test_every_page_can_be_reached() -> None:
    """From README every page is some links away."""
    seen, found = set[Path](), [ROOT / "README.md"]
    while found:
        page = found.pop()
        if page in seen or page.suffix != ".md" or not page.exists():
            continue
        seen.add(page)
        found += [(page.parent / link["target"].split("#")[0]).resolve() for link in _LINK.finditer(page.read_text())]
    assert set() == set(pages()) - seen


def test_tests_that_are_named_exist() -> None:
    """Each guarantee names tests, and each test that a page names is there."""
    named = [one for page in pages() for one in _named_tests(page.read_text())]
    assert [] == [f"{path}::{test}" for path, test in named if test not in _functions(ROOT / path)]
    guarantees = re.split(r"^## \d", (REFERENCE / "guarantees.md").read_text(), flags=re.MULTILINE)[1:]
    assert 8 == len(guarantees)
    assert all(_named_tests(guarantee) for guarantee in guarantees)


def test_each_line_of_the_threat_model_has_its_test() -> None:
    """Whatever somebody can or cannot do stands beside a test, for each of the three kinds of people."""
    text = (ROOT / "docs" / "explanation" / "security.md").read_text()
    lines = [line for line in text.splitlines() if line.startswith(("| can ", "| cannot "))]
    assert len(lines) >= 25
    assert [] == [line for line in lines if not _named_tests(line)]
    assert {"can", "cannot"} == {line.split()[1] for line in lines}


@pytest.mark.parametrize("page", DECISIONS, ids=name)
def test_decisions_are_short(page: Path) -> None:
    """A decision says context, choice and price, within 40 lines, and its number is its own."""
    text = page.read_text()
    assert len(text.splitlines()) <= 40
    assert all(f"**{part}.**" in text for part in ("Context", "Choice", "Price"))
    assert text.startswith(f"# {page.name[:4]} ")
    assert 1 == sum(other.name.startswith(page.name[:4]) for other in DECISIONS)


def test_every_decision_is_listed_once_and_in_order() -> None:
    """The list of decisions names each page by its title, once, sorted by number."""
    listed = re.findall(r"^- \[(.+?)\]\((.+?)\)", (DECISIONS[0].parent / "README.md").read_text(), re.MULTILINE)
    assert listed == [(page.read_text().splitlines()[0].removeprefix("# "), page.name) for page in DECISIONS]


@pytest.mark.parametrize("page", pages(), ids=name)
def test_pages_are_about_no_machine(page: Path) -> None:
    """No page holds a path or a host of the machine that it was written on."""
    assert [] == _MACHINE.findall(page.read_text())


@pytest.mark.parametrize("page", pages(), ids=name)
def test_blocks_are_of_a_known_language(page: Path) -> None:
    """A fence says what it holds, so that nothing that should be run is passed over."""
    # The statements in `sql` blocks are run by tests/unit/state/test_postgres_store.py, against a real server.
    known = {"console", "python", "yaml", "json", "sh", "text", "sql"}
    assert set() == {block.language for block in blocks(page.read_text())} - known


@pytest.mark.parametrize("command", ["make demo", "make test"])
def test_readme_shows_the_two_commands(command: str) -> None:
    """Each stands alone on its line, as CI and a newcomer look for it."""
    assert command in (ROOT / "README.md").read_text().splitlines()


def test_readme_leaves_the_checkout_as_it_is() -> None:
    """README's commands begin in a new directory elsewhere, before they write the first file."""
    found = [block for block in blocks((ROOT / "README.md").read_text()) if block.language == "console" or block.file]
    directory = re.fullmatch(r"\$ mkdir (~/\S+) && cd (~/\S+)\n", found[0].text)
    assert directory is not None
    assert directory[1] == directory[2]
    assert [] == [block.text for block in found if re.search(r"\bcd (?!~/)", block.text)]


def test_nothing_is_installed_by_hooklines_name_alone() -> None:
    """Nobody owns the name in the public index, so no page and no message installs it from there."""
    texts = {name(page): page.read_text() for page in pages() if "decisions" not in page.parts}
    texts |= {
        str(path): path.read_text() for path in (ROOT / "src").rglob("*") if path.suffix in (".py", ".md", ".yml")
    }
    by_name = re.compile(
        r"(pip|pipx|uv tool|uv pip) install ['\"]?hookline|uvx hookline|uvx --from ['\"]?hookline[^ ]* "
    )
    assert [] == [page for page, text in texts.items() if by_name.search(text)]


def test_readme_shows_the_demo_as_it_is() -> None:
    """Each heading of the demo's output in README is one that the demo prints."""
    shown = re.findall(r"^== (.+)$", (ROOT / "README.md").read_text(), re.MULTILINE)
    script = (ROOT / "src" / "hookline" / "cli" / "demo" / "demo_story.py").read_text()
    assert len(shown) >= 3
    assert [] == [heading for heading in shown if heading not in script]
