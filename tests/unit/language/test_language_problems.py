"""Problems: do they name the place and the way out?"""

import msgspec
import pytest

from segue_language.problems import Problem, closest, pointer, shown

PROBLEM = Problem(
    file="review.yaml",
    line=6,
    column=5,
    pointer="/steps/0/timout",
    code="unknown_field",
    message="unknown field 'timout'",
    suggestion="timeout",
)


def test_a_problem_reads_like_a_compilers() -> None:
    """File, line, column, sentence, suggestion."""
    expected = "review.yaml:6:5: unknown field 'timout' (did you mean 'timeout'?)"
    assert PROBLEM.render() == expected


def test_a_problem_without_a_suggestion_ends_with_its_sentence() -> None:
    """Nothing is suggested where nothing is close."""
    problem = msgspec.structs.replace(PROBLEM, suggestion="")
    assert problem.render() == "review.yaml:6:5: unknown field 'timout'"


def test_a_problem_without_a_text_names_its_pointer() -> None:
    """A definition built in memory has no lines."""
    problem = msgspec.structs.replace(PROBLEM, line=0, column=0, suggestion="")
    assert problem.render() == "review.yaml: /steps/0/timout: unknown field 'timout'"


def test_a_problem_with_the_whole_definition_names_only_the_file() -> None:
    """An empty pointer is left out."""
    problem = msgspec.structs.replace(PROBLEM, line=0, pointer="", suggestion="")
    assert problem.render() == "review.yaml: unknown field 'timout'"


def test_a_problem_cannot_be_changed() -> None:
    """Problems are values."""
    with pytest.raises(AttributeError):
        PROBLEM.line = 7  # type: ignore[misc]


def test_a_pointer_escapes_what_rfc_6901_reserves() -> None:
    """`~` and `/` in names are escaped."""
    assert pointer(("steps", 0, "a/b~c")) == "/steps/0/a~1b~0c"


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [("timout", "timeout"), ("depends_on", "dependsOn"), ("zzz", ""), ("", ""), ("x" * 99, "")],
)
def test_the_closest_name_is_suggested(wrong: str, meant: str) -> None:
    """Spelling and case styles are forgiven; far names are not suggested."""
    assert closest(wrong, ["timeout", "dependsOn", "when"]) == meant


def test_a_long_list_is_searched_among_names_that_begin_alike() -> None:
    """Suggestions stay fast with thousands of steps."""
    names = [f"step{number}" for number in range(5_000)] + ["report"]
    assert closest("reprot", names) == "report"


def test_a_long_name_is_shortened_in_messages() -> None:
    """A message stays readable whatever the name is."""
    assert len(shown("x" * 10_000)) < 100
