"""Is this a JSON Schema, and does a value satisfy it?

Schemas are of Draft 2020-12 and stand on their own: `$ref` leads to a place in the schema itself.
The library is imported on first use, since it takes longer than the rest of the language.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from segue_language.patterns import PatternError, pattern_of
from segue_language.problems import Path, Problem, pointer, shown
from segue_language.source import MAX_DEPTH

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator, ValidationError

MAX_SCHEMA_NODES: Final = 5_000
MAX_WORK: Final = 200_000
MAX_NAMED: Final = 20
_MAX_MESSAGE: Final = 200
_MAX_NESTING: Final = 32
_DATA: Final = frozenset({"const", "enum", "default", "examples"})
"""Keywords that hold values, in which nothing is a schema."""

_NAMES: Final = frozenset({"properties", "patternProperties", "$defs", "definitions"})
"""Keywords that hold schemas by names, in which no name is a keyword."""

_REFUSED: Final = {
    "$id": "leave it out",
    "$anchor": "refer to '#/$defs/<name>'",
    "$dynamicRef": "use '$ref'",
    "$dynamicAnchor": "leave it out",
    "unevaluatedProperties": "use 'additionalProperties'",
    "unevaluatedItems": "use 'items'",
}

Keyword = Callable[..., "Iterator[ValidationError] | None"]


class SchemaFault(NamedTuple):
    """What is wrong with a schema, and where in it."""

    path: Path
    message: str


class _OverworkedError(Exception):
    """The value takes more work than it may."""


def schema_faults(schema: Mapping[str, object]) -> list[SchemaFault]:
    """Return what is wrong with a schema."""
    faults = [*islice(_own_faults(schema), MAX_NAMED)]
    if faults:
        return faults
    import jsonschema  # noqa: PLC0415 - imported on first use

    validator = jsonschema.Draft202012Validator
    meta = validator(validator.META_SCHEMA)
    return [
        SchemaFault(tuple(error.absolute_path), _reason(error))
        for error in islice(meta.iter_errors(schema), MAX_NAMED)
    ]


def _own_faults(schema: Mapping[str, object]) -> Iterator[SchemaFault]:
    """Yield what is wrong by the language's rules: size, and what needs other documents."""
    left: list[tuple[Path, object, bool]] = [((), schema, True)]
    seen = 0
    while left:
        path, value, is_schema = left.pop()
        seen += 1
        if seen > MAX_SCHEMA_NODES or len(path) > _MAX_NESTING:
            yield SchemaFault((), "the schema is too large or nested too deeply")
            return
        if isinstance(value, Mapping):
            if is_schema:
                yield from _refused(path, value, schema)
            left += _inner(path, value, is_schema=is_schema)
        elif isinstance(value, list):
            left += [((*path, index), item, True) for index, item in enumerate(value)]


def _inner(
    path: Path, value: Mapping[str, object], *, is_schema: bool
) -> Iterator[tuple[Path, object, bool]]:
    for name, held in value.items():
        if not is_schema:
            yield (*path, name), held, True
        elif name not in _DATA:
            yield (*path, name), held, name not in _NAMES


def _refused(
    path: Path, value: Mapping[str, object], schema: Mapping[str, object]
) -> Iterator[SchemaFault]:
    for name in value.keys() & _REFUSED.keys():
        yield SchemaFault((*path, name), f"'{name}' is not available here; {_REFUSED[name]}")
    yield from _faulty_patterns(path, value)
    target = value.get("$ref")
    if isinstance(target, str) and not _leads_somewhere(target, schema):
        message = f"{shown(target)} leads to no schema; refer to '#' or '#/$defs/<name>'"
        yield SchemaFault((*path, "$ref"), message)


def _faulty_patterns(path: Path, value: Mapping[str, object]) -> Iterator[SchemaFault]:
    source, named = value.get("pattern"), value.get("patternProperties")
    places = [((*path, "pattern"), source)] if isinstance(source, str) else []
    places += [
        ((*path, "patternProperties", name), name)
        for name in (named if isinstance(named, Mapping) else ())
    ]
    for place, text in places:
        try:
            pattern_of(text)
        except PatternError as error:
            yield SchemaFault(place, str(error))


def _leads_somewhere(target: str, schema: Mapping[str, object]) -> bool:
    if target == "#":
        return True
    head, *parts = target.split("/")
    found: object = schema if head == "#" else None
    for part in parts:
        name = part.replace("~1", "/").replace("~0", "~")
        found = found.get(name) if isinstance(found, Mapping) else None
    return isinstance(found, Mapping | bool)


def schema_problems(
    schema: Mapping[str, object], value: object, *, file: str = "<value>"
) -> list[Problem]:
    """Return how a value fails a schema, at most 20 problems; their pointers lead into the value.

    A value that takes too much work counts as failing.

    Args:
        schema: One without faults.
        value: A JSON value.
        file: The name that problems give the value.
    """
    if _is_deeper(value, MAX_DEPTH):
        return [_problem(file, (), f"the value is nested deeper than {MAX_DEPTH} levels")]
    problems: list[Problem] = []
    try:
        problems += (
            _problem(file, tuple(error.absolute_path), _reason(error))
            for error in islice(_validator(schema).iter_errors(value), MAX_NAMED)
        )
    except PatternError as error:
        problems.append(_problem(file, (), str(error)))
    except (_OverworkedError, RecursionError):
        problems.append(_problem(file, (), "it takes too much work to check the value"))
    return problems


def _problem(file: str, path: Path, message: str) -> Problem:
    return Problem(
        file=file, line=0, column=0, pointer=pointer(path), code="schema", message=message
    )


def _is_deeper(value: object, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        level = [
            child
            for item in level
            if isinstance(item, Mapping | list)
            for child in (item.values() if isinstance(item, Mapping) else item)
        ]
    return any(isinstance(item, Mapping | list) for item in level)


def _validator(schema: Mapping[str, object]) -> "Draft202012Validator":
    """Return a validator that counts its work and fetches nothing."""
    from jsonschema import Draft202012Validator  # noqa: PLC0415 - imported on first use
    from jsonschema.validators import extend  # noqa: PLC0415 - imported on first use
    from referencing import Registry  # noqa: PLC0415 - imported on first use

    from segue_language.schema_keywords import KEYWORDS  # noqa: PLC0415 - imports the library

    work = 0

    def counted(keyword: Keyword) -> Keyword:
        def run(*args: object) -> "Iterator[ValidationError]":
            nonlocal work
            work += 1
            if work > MAX_WORK:
                raise _OverworkedError
            return keyword(*args) or iter(())

        return run

    keywords = {**Draft202012Validator.VALIDATORS, **KEYWORDS}
    metered = extend(  # type: ignore[no-untyped-call]  # declared without types
        Draft202012Validator, {name: counted(keyword) for name, keyword in keywords.items()}
    )
    validator: Draft202012Validator = metered(schema, registry=Registry())
    return validator


def _reason(error: "ValidationError") -> str:
    text = error.message
    return text if len(text) <= _MAX_MESSAGE else f"{text[: _MAX_MESSAGE - 1]}…"
