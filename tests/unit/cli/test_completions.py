"""What a shell offers on Tab: files where files are meant, addresses where addresses are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.shell_completion import BashComplete

from builders import document
from hookline.cli.main import main, program
from hookline.model import Address

APPLIED, NEW = "ACME@AdobeOrg/prod", "NEW@AdobeOrg/prod"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with an applied webhook, one that is only in a file, and a file that is no state."""
    made = tmp_path_factory.mktemp("completed")
    (made / "webhooks").mkdir()
    (made / "webhooks/prod.yaml").write_text(json.dumps(document(Address.parse(APPLIED))))
    options = ["--config", str(made / "webhooks"), "--state", str(made / ".hookline/state.db")]
    assert 0 == main(["apply", "--auto-approve", *options])
    (made / "webhooks/new.yaml").write_text(json.dumps(document(Address.parse(NEW))))
    (made / "webhooks/broken.yaml").write_text("version: 1\n")
    (made / "broken.db").write_text("no state")
    return made


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["pause", "AC"], [APPLIED]),
        (["resume", "--state", ".hookline/state.db", ""], [APPLIED]),
        (["blame", "ACME@AdobeOrg/p"], [APPLIED]),
        (["jwks", ""], [APPLIED]),
        (["check", APPLIED, ""], [APPLIED]),
        (["show", "ACME@AdobeOrg/p"], [APPLIED]),
        (["show", "plan"], ["plan (file)"]),
        (["plan", "--target", ""], [APPLIED, NEW]),
        (["apply", "--allow-delete", "NE"], [NEW]),
        (["pause", "NE"], []),
        (["dead", "list", "--webhook", ""], []),
        (["relay", "ev"], ["ev (file)"]),
        (["formats", "test", "ev"], ["ev (file)"]),
        (["dead", "import", "le"], ["le (file)"]),
        (["validate", "web"], ["web (file)"]),
        (["plan", "--config", "web"], ["web (file)"]),
        (["explain", "hl050"], ["HL050"]),
        (["schema", "pl"], ["plan.v1"]),
        (["check", "--state", "nowhere.db", ""], []),
        (["check", "--state", "broken.db", ""], []),
        (["check", "--state", "postgresql://db.acme.example/hookline", ""], []),
    ],
)
def test_tab_offers_what_is_meant(
    directory: Path, words: list[str], offered: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Addresses come from the state and the webhook files. A state that cannot be read offers nothing, silently."""
    monkeypatch.chdir(directory)
    *arguments, incomplete = words
    found = BashComplete(program, {}, "hookline", "_HOOKLINE_COMPLETE").get_completions(arguments, incomplete)
    texts = [one.value if one.type == "plain" else f"{one.value} ({one.type})" for one in found]
    assert offered == texts
