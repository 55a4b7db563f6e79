"""The reference: does it say everything, does every example hold, and is it current?"""

import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import TypeAdapter

from segue_language import generated
from segue_language.construct_examples import EXAMPLES, Example
from segue_language.features import FEATURES, unsupported
from segue_language.field_examples import FIELD_EXAMPLES
from segue_language.fields import Model
from segue_language.models import Workflow
from segue_language.parse import parse
from segue_language.reference import MODELS, page
from segue_language.yaml_source import read_yaml

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.title)
def test_the_example_of_a_construct_is_a_workflow(example: Example) -> None:
    """What people copy works."""
    parsed = parse(example.definition)
    assert [problem.render() for problem in parsed.problems] == []


def test_the_examples_use_every_construct() -> None:
    """Nothing an engine could refuse is without an example."""
    used = set()
    for example in EXAMPLES:
        workflow = parse(example.definition).workflow
        assert isinstance(workflow, Workflow)
        for feature in FEATURES:
            if unsupported(workflow, FEATURES - {feature}):
                used.add(feature)
    assert used == FEATURES


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_field_has_an_example_that_holds(model: type[Model]) -> None:
    """Each is a value of the field, and no field has gone."""
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    assert FIELD_EXAMPLES[model.__name__].keys() == fields.keys()
    for name, field in fields.items():
        source = read_yaml(FIELD_EXAMPLES[model.__name__][name])
        assert source.flaws == []
        declared = Annotated[field.annotation, "a field", *field.metadata]
        adapter: TypeAdapter[Any] = TypeAdapter(declared)
        adapter.validate_python(source.value)


def test_every_model_and_field_is_on_the_page() -> None:
    """With its meaning."""
    text = page()
    for model in MODELS:
        for name, field in model.model_fields.items():
            assert f"| `{field.alias or name}` |" in text
            assert (field.description or "?") in text


def test_the_generated_files_are_current() -> None:
    """Committed are the schemas and the page that follow from the language."""
    assert generated.stale(ROOT) == []


def run(verb: str, root: Path) -> subprocess.CompletedProcess[str]:
    """Run the command on a repository."""
    return subprocess.run(
        [sys.executable, "-m", "segue_language", verb, "--root", str(root)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_stale_file_fails_the_check_until_it_is_written(tmp_path: Path) -> None:
    """The command names the file, and the way out."""
    (tmp_path / "docs").mkdir()
    assert run("write", tmp_path).stdout.count("written: docs/reference/workflow") == 3
    assert run("check", tmp_path).returncode == 0
    path = tmp_path / "docs/reference/workflow-language.md"
    path.write_text(path.read_text().replace("Retries", "Tries"))
    checked = run("check", tmp_path)
    assert checked.returncode == 1
    assert checked.stderr == (
        "stale: docs/reference/workflow-language.md (run `python -m segue_language write`)\n"
    )


def test_a_folder_that_is_no_repository_is_refused(tmp_path: Path) -> None:
    """Nothing is written beside the docs."""
    refused = run("write", tmp_path)
    assert refused.returncode == 2
    assert "has no folder docs; name the repository with --root" in refused.stderr
