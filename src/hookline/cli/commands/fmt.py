"""`hookline fmt`: format webhook files and defaults files."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import suppress
from difflib import unified_diff
from pathlib import Path
from typing import IO

import click

from hookline.cli.options import config_option, examples
from hookline.cli.output.standard_streams import put_code_first, put_work_first
from hookline.cli.progress.printing_progress import printing_progress
from hookline.config.discovery import MAX_FILE_BYTES, FilePath, WebhookFile, read_file
from hookline.config.formatting.formatter import FormattedFile, NotFormatted, format_file
from hookline.config.found_files import files_to_format
from hookline.config.source_text import SourceText
from hookline.config.yaml_parser import find_positions
from hookline.diagnostics import Diagnostic, sorted_diagnostics
from hookline.errors import HooklineError, InvalidConfiguration, WrongUse
from hookline.exit_codes import ExitCode
from hookline.private_files import open_replacement

_STANDARD_INPUT = "-"
# Comparing more takes minutes in the worst case.
MAX_COMPARED_LINES = 20_000


@click.command(
    epilog=examples(
        "hookline fmt",
        "hookline fmt --check webhooks/acme",
        "hookline fmt - < prod.yaml",
        exits="0 done, 2 files are not formatted (with --check), 5 a file cannot be read",
    )
)
@click.argument("paths", nargs=-1, metavar="[PATH]...", type=click.Path(path_type=Path, allow_dash=True))
@config_option
@click.option("--check", is_flag=True, help="Change nothing; show the differences and exit with 2 if there are any.")
def fmt_command(paths: tuple[Path, ...], config: Path, check: bool) -> int:
    """Format webhook files and defaults files.

    Puts the keys in the order of the reference, removes quotes that no YAML parser needs, and indents by two spaces.
    Every comment stays with its key. The values are the same afterwards, so a plan is empty. Formatting again
    changes nothing.

    A PATH is a file or a directory, by default the configuration directory; - formats standard input to standard
    output. A file that is not valid YAML is reported and not changed. Errors of its values are those of
    `hookline validate`.
    """
    (put_code_first if check else put_work_first)()
    if Path(_STANDARD_INPUT) in paths:
        if len(paths) > 1:
            raise WrongUse("- is standard input, which can only be formatted alone", hint="leave out the other paths")
        return _format_stream(check=check)
    diagnostics: list[Diagnostic] = []
    differing = files = 0
    found = files_to_format(config, paths)
    with printing_progress("checking" if check else "formatting", len(found)) as step:
        for number, one in enumerate(found, 1):
            result = _format_file(one, check=check)
            text = ""
            if isinstance(result, Diagnostic):
                diagnostics.append(result)
            else:
                files += 1
                diagnostics += result.diagnostics
                differing += result.differs
                if result.differs:
                    text = _difference(result) if check else f"formatted {result.name}\n"
            step(number, text)
    if not differing and not diagnostics:
        click.echo(f"{files} file{' is' if files == 1 else 's are'} formatted already", err=True)
    if diagnostics:
        raise InvalidConfiguration(sorted_diagnostics(diagnostics))
    return ExitCode.CHANGES if check and differing else ExitCode.DONE


def _format_file(found: FilePath | Diagnostic, *, check: bool) -> FormattedFile | Diagnostic:
    """Formats one file, and replaces it unless `check`."""
    if isinstance(found, Diagnostic):
        return found
    file = read_file(found)
    if isinstance(file, Diagnostic):
        return file
    result = _format(file.name, file.data)
    if result.differs and not check:
        _replace(found.path, result)
    return result


def _format_stream(*, check: bool) -> int:
    data = sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        limit = MAX_FILE_BYTES >> 20
        raise WrongUse(f"standard input is larger than {limit} MiB", hint="format one webhook file at a time")
    result = _format("<stdin>", data)
    if result.diagnostics:
        raise InvalidConfiguration(sorted_diagnostics(result.diagnostics))
    if not check:
        click.echo(result.after, nl=False)
    elif result.differs:
        click.echo(_difference(result), nl=False)
        return ExitCode.CHANGES
    return ExitCode.DONE


def _format(name: str, data: bytes) -> FormattedFile:
    try:
        return format_file(WebhookFile(name, data))
    except NotFormatted as fault:
        hint = "leave the file as it is, and report this with the file"
        raise HooklineError(
            f"{name} was not changed: formatting would have changed its meaning", hint=hint
        ) from fault


def _difference(result: FormattedFile) -> str:
    """A unified diff of the texts, without their secrets."""
    heading = f"--- {result.name}\n+++ {result.name} (formatted)\n"
    if result.before.count(b"\n") > MAX_COMPARED_LINES:
        return f"{heading} (more than {MAX_COMPARED_LINES:,} lines, which are not compared)\n"
    before, after = (list(_shown(data)) for data in (result.before, result.after))
    lines = list(unified_diff(before, after, lineterm="\n"))[2:]
    return heading + ("".join(lines) or " (only within a hidden value)\n")


def _shown(data: bytes) -> Iterator[str]:
    """The lines with their ends. A line end of two characters, and a missing one, can be seen."""
    text = data.decode("utf-8-sig")
    hidden = find_positions(text).hidden
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    shown = SourceText("\n".join(lines)).shown_lines(hidden)
    ends = "\r\n" if "\r\n" in text else "\n"
    for number, line in enumerate(shown, start=1):
        if number < len(shown):
            yield line + ("\\r\n" if ends == "\r\n" else "\n")
        elif line:
            yield f"{line}\n\\ No newline at end of file\n"


def _replace(path: str, result: FormattedFile) -> None:
    """Replaces the file in one step. A link remains; the new file has the mode and the owner of the old one."""
    target = Path(path).resolve()
    try:
        status = target.stat()
        if target.read_bytes() != result.before:
            hint = "run the command again"
            raise HooklineError(f"{result.name} has changed in the meantime and was not formatted", hint=hint)
    except OSError as failed:
        hint = "check its owner and its mode"
        raise HooklineError(f"{result.name} cannot be read: {failed.strerror}", hint=hint) from failed
    with open_replacement(target) as draft:
        _take_over(draft, status)
        draft.write(result.after)


def _take_over(draft: IO[bytes], status: os.stat_result) -> None:
    with suppress(PermissionError):  # only root may give a file to somebody else
        os.fchown(draft.fileno(), status.st_uid, status.st_gid)
    os.fchmod(draft.fileno(), stat.S_IMODE(status.st_mode))
