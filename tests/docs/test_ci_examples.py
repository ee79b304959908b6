"""The pipelines that the page of any CI shows are valid for the published schemas of their CI."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from docs.pages import ROOT

_BLOCK = re.compile(r"<!-- schema: (\S+) -->\n```yaml\n(.*?)```", re.DOTALL)
EXAMPLES = _BLOCK.findall((ROOT / "docs/how-to/any-ci.md").read_text())


@pytest.mark.parametrize(("schema", "text"), EXAMPLES, ids=[schema for schema, _ in EXAMPLES])
def test_a_shown_pipeline_fits_its_schema(schema: str, text: str, tmp_path: Path) -> None:
    """The example of a CI whose schema is published is valid for it."""
    (tmp_path / "pipeline.yml").write_text(text)
    tool = Path(sys.executable).with_name("check-jsonschema")
    transform = ["--data-transform", "azure-pipelines"] if "azure" in schema else []
    # The schema for Azure has patterns that the default regular expressions do not read.
    options: list[str] = ["--builtin-schema", schema, "--regex-variant", "python", *transform]
    command = [str(tool), *options, str(tmp_path / "pipeline.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stdout + done.stderr


def test_the_page_has_examples() -> None:
    """Azure Pipelines and Bitbucket are among them."""
    assert ["vendor.azure-pipelines", "vendor.bitbucket-pipelines"] == [schema for schema, _ in EXAMPLES]
