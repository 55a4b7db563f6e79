"""How is a document in a dialect written in the canonical form?

The tables in `aliases` say it all; this only applies them. Every value that moves keeps a note of
where it came from, so that a problem points at what the author wrote.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from segue_language.aliases import (
    COMPENSATE_ALIASES,
    CONFIG,
    CONNECTORS,
    FOR_EACH_ALIASES,
    FORWARD,
    IDENTIFIERS,
    KIND_FIELDS,
    LLM_FIELDS,
    NESTED_ALIASES,
    REPETITIONS,
    RETRY_ALIASES,
    RETRY_COUNTS,
    RETRY_MAPPINGS,
    STEP_ALIASES,
    TIMEOUTS_ALIASES,
    TYPE_TO_KIND,
    WORKFLOW_ALIASES,
    WRAPPERS,
)
from segue_language.problems import Finding, Path, shown

_RETRY_TRIGGERS = {*RETRY_COUNTS, *RETRY_MAPPINGS, CONFIG}
_WORKFLOW_TRIGGERS = {*WRAPPERS, *IDENTIFIERS, *WORKFLOW_ALIASES, "parallel"}
_STEP_TRIGGERS = {*STEP_ALIASES, *FORWARD, *KIND_FIELDS}
_WORKFLOW: Final = frozenset(_WORKFLOW_TRIGGERS | _RETRY_TRIGGERS)
_STEP: Final = frozenset(_STEP_TRIGGERS | _RETRY_TRIGGERS)
_INNER: Final = {
    "retry": frozenset({*RETRY_ALIASES, *REPETITIONS}),
    "forEach": frozenset(FOR_EACH_ALIASES),
    "timeouts": frozenset(TIMEOUTS_ALIASES),
    "compensate": frozenset({*COMPENSATE_ALIASES, *_RETRY_TRIGGERS, "retry"}),
}
_OUTER: Final = frozenset(_INNER)
"""Fields that need a translation only where they hold certain names."""

Fields = dict[str, object]


@dataclass(slots=True)
class Canonical:
    """A document in its canonical form, and where its parts came from."""

    value: object
    moves: dict[Path, Path] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    edges: list[tuple[int, object, Path]] = field(default_factory=list)
    """Edges forward: the step they leave, the keys they lead to, where that is written."""

    def origin(self, path: Path) -> Path:
        """Return where the author wrote what stands at a path of the canonical form."""
        for length in range(len(path), 0, -1):
            moved = self.moves.get(path[:length])
            if moved is not None:
                return moved + path[length:]
        return path

    def find(self, path: Path, code: str, message: str, wrong: str = "") -> None:
        """Note a problem with what the author wrote at a path."""
        candidates = TYPE_TO_KIND if code == "unknown_type" else ()
        self.findings.append(
            Finding(
                path=path,
                code=code,
                message=message,
                wrong=wrong,
                candidates=candidates,
                written=True,
                at_key=code in ("conflict", "unknown_field"),
            )
        )


class _Translation:
    """Turns the fields of one mapping into canonical ones."""

    def __init__(self, canonical: Canonical, at: Path, source: Fields, came: Path) -> None:
        self._canonical = canonical
        self._at = at
        self._left = {name: (value, (*came, name)) for name, value in source.items()}
        self.target: Fields = {}

    def unwrap(self, name: str) -> None:
        """Replace a wrapping field by what it holds."""
        value, came = self._left.pop(name)
        for inner, held in value.items() if isinstance(value, dict) else ():
            if inner in self._left and self._left[inner][0] != held:
                self._conflict(inner, self._left[inner][1])
            self._left[inner] = (held, (*came, inner))

    def pop(self, names: Iterable[str]) -> Iterator[tuple[object, Path]]:
        """Yield those of the fields that are there, and where."""
        for name in names:
            if name in self._left:
                yield self._left.pop(name)

    def put(self, name: str, value: object, came: Path) -> None:
        """Set a canonical field, unless it has another value already: that is a problem."""
        if name not in self.target:
            self.target[name] = value
            if came != (*self._at, name):
                self._canonical.moves[(*self._at, name)] = came
        elif self.target[name] != value:
            self._conflict(name, came)

    def _conflict(self, name: str, came: Path) -> None:
        other = self._canonical.origin((*self._at, name))
        names = f"{shown(_dotted(came))} and {shown(_dotted(other))}"
        message = f"{names} mean the same and differ; keep one"
        self._canonical.find(came, "conflict", message)

    def rename(self, aliases: Mapping[str, str]) -> None:
        """Take over what is left, canonical names first."""
        for name in sorted(self._left, key=aliases.__contains__):
            value, came = self._left[name]
            self.put(aliases.get(name, name), value, came)

    def retry(self) -> None:
        """Gather everything that says how often to repeat."""
        mappings = [*self.pop(("retry", *RETRY_MAPPINGS))]
        counts = [*self.pop(RETRY_COUNTS)]
        for value, came in self.pop((CONFIG,)):
            counts += self._config(value, came)
        gathered = _Translation(self._canonical, (*self._at, "retry"), {}, ())
        for value, came in mappings:
            if isinstance(value, dict):
                _repetition(gathered, value, came)
            else:
                self.put("retry", value, came)
        for value, came in counts:
            gathered.put("maxAttempts", _attempts(value), came)
        if "retry" not in self.target and (mappings or counts):
            self.put("retry", gathered.target, mappings[0][1] if mappings else counts[0][1])

    def _config(self, value: object, came: Path) -> Iterator[tuple[object, Path]]:
        if not isinstance(value, dict):
            self._canonical.find(came, "unknown_field", f"unknown field '{CONFIG}'")
            return
        for name, held in value.items():
            if name in REPETITIONS:
                yield held, (*came, name)
            else:
                message = f"unknown field {shown(f'{CONFIG}.{name}')}"
                self._canonical.find((*came, name), "unknown_field", message)


def _dotted(came: Path) -> str:
    """Name a field the way the author sees it: without the list or wrapper it is in."""
    start = max((i + 1 for i, part in enumerate(came) if isinstance(part, int)), default=0)
    if not start and len(came) > 1 and came[0] in WRAPPERS:
        start = 1
    return ".".join(str(part) for part in came[start:])


def _attempts(repetitions: object) -> object:
    whole = isinstance(repetitions, int) and not isinstance(repetitions, bool)
    return repetitions + 1 if isinstance(repetitions, int) and whole else repetitions


def _repetition(gathered: _Translation, value: Fields, came: Path) -> None:
    for name in sorted(value, key=RETRY_ALIASES.__contains__):
        if name in REPETITIONS:
            gathered.put("maxAttempts", _attempts(value[name]), (*came, name))
        else:
            gathered.put(RETRY_ALIASES.get(name, name), value[name], (*came, name))


def to_canonical(document: object) -> Canonical:
    """Translate a document's dialect; what is canonical already stays as it is."""
    canonical = Canonical(document)
    if not isinstance(document, dict):
        return canonical
    workflow: Fields = document
    if not _WORKFLOW.isdisjoint(workflow) or _is_foreign(workflow) or _has_number(workflow):
        workflow = _workflow(canonical, workflow)
    elif not any(map(_speaks_dialect, _listed(workflow))):
        return canonical
    parallel = workflow.get("parallel", True)
    workflow = {name: value for name, value in workflow.items() if name != "parallel"}
    steps = workflow.get("steps")
    if isinstance(steps, list):
        translated = [_step(canonical, index, step) for index, step in enumerate(steps)]
        workflow["steps"] = translated
        _link_forward(canonical, translated)
        _chain(canonical, translated, parallel)
    canonical.value = workflow
    return canonical


def _listed(workflow: Fields) -> list[object]:
    steps = workflow.get("steps")
    return steps if isinstance(steps, list) else []


def _speaks_dialect(step: object) -> bool:
    """Tell whether a step needs a translation."""
    if not isinstance(step, dict):
        return False
    return not _STEP.isdisjoint(step) or _is_foreign(step) or isinstance(step.get("dependsOn"), str)


def _is_foreign(fields: Fields) -> bool:
    """Tell whether a field that may hold aliases does."""
    return not _OUTER.isdisjoint(fields) and any(
        isinstance(held := fields.get(name), dict) and not aliases.isdisjoint(held)
        for name, aliases in _INNER.items()
    )


def _has_number(workflow: Fields) -> bool:
    return isinstance(workflow.get("version"), int)


def _workflow(canonical: Canonical, document: Fields) -> Fields:
    translation = _Translation(canonical, (), document, ())
    for wrapper in WRAPPERS:
        if isinstance(document.get(wrapper), dict) and "steps" not in document:
            translation.unwrap(wrapper)
            break
    _identify(translation)
    translation.retry()
    for value, came in translation.pop(("version",)):
        whole = isinstance(value, int) and not isinstance(value, bool)
        translation.put("version", str(value) if whole else value, came)
    translation.rename(WORKFLOW_ALIASES)
    return translation.target


def _identify(translation: _Translation) -> None:
    """Let an identifier be the name; a name that stands beside it is for people."""
    for value, came in translation.pop(IDENTIFIERS):
        translation.put("name", value, came)
    identifier = translation.target.get("name")
    for value, came in translation.pop(("name",)):
        translation.put("title" if identifier not in (None, value) else "name", value, came)


def _step(canonical: Canonical, index: int, step: object) -> object:
    if not isinstance(step, dict):
        return step
    fields: Fields = step
    if not _STEP.isdisjoint(fields) or _is_foreign(fields):
        at = ("steps", index)
        translation = _Translation(canonical, at, fields, canonical.origin(at))
        canonical.edges += ((index, *edge) for edge in translation.pop(FORWARD))
        types = [*translation.pop(KIND_FIELDS)]
        translation.retry()
        translation.rename(STEP_ALIASES)
        for name, aliases in NESTED_ALIASES.items():
            _rename_in(canonical, (*at, name), translation.target, aliases)
        for value, came in types:
            _apply_type(canonical, at, translation, value, came)
        fields = translation.target
    depends_on = fields.get("dependsOn")
    return {**fields, "dependsOn": [depends_on]} if isinstance(depends_on, str) else fields


def _rename_in(canonical: Canonical, at: Path, fields: Fields, aliases: Mapping[str, str]) -> None:
    """Translate the names within a field that is a mapping."""
    name = str(at[-1])
    value = fields.get(name)
    if isinstance(value, dict):
        nested = _Translation(canonical, at, value, canonical.origin(at))
        if name == "compensate":
            nested.retry()
        nested.rename(aliases)
        fields[name] = nested.target


def _apply_type(
    canonical: Canonical, at: Path, translation: _Translation, value: object, came: Path
) -> None:
    """Let a `type` be the kind it stands for."""
    kind = TYPE_TO_KIND.get(value) if isinstance(value, str) else None
    if kind is None:
        message = f"unknown type {shown(str(value))}"
        canonical.find(came, "unknown_type", message, wrong=str(value))
    elif kind in translation.target:
        return
    elif value in CONNECTORS:
        _as_uses(canonical, translation, str(value), came)
    elif kind == "llm":
        _as_llm(canonical, at, translation, came)
    else:
        message = f"a step of type '{value}' says in '{kind}' which one"
        canonical.find(came, "no_kind", message)


def _as_uses(canonical: Canonical, translation: _Translation, connector: str, came: Path) -> None:
    action = translation.target.pop("action", None)
    if not isinstance(action, str) or not action:
        message = f"a step of type '{connector}' says in 'action' what it does"
        canonical.find(came, "no_action", message)
        return
    prefix = f"{connector}."
    translation.put("uses", prefix + action.removeprefix(prefix), came)


def _as_llm(canonical: Canonical, at: Path, translation: _Translation, came: Path) -> None:
    fields = translation.target
    given = fields.get("with")
    parameters = dict(given) if isinstance(given, dict) else {}
    call = _Translation(canonical, (*at, "llm"), {}, ())
    for holder, where in ((fields, at), (parameters, (*at, "with"))):
        for name in [name for name in LLM_FIELDS if name in holder]:
            call.put(LLM_FIELDS[name], holder.pop(name), canonical.origin((*where, name)))
    if isinstance(given, dict):
        fields["with"] = parameters
    translation.put("llm", call.target, came)


def _keys(steps: list[object]) -> dict[str, int]:
    keys: dict[str, int] = {}
    for index, step in enumerate(steps):
        key = step.get("key") if isinstance(step, dict) else None
        if isinstance(key, str):
            keys.setdefault(key, index)
    return keys


def _link_forward(canonical: Canonical, steps: list[object]) -> None:
    """Turn each edge forward into a dependency of the step it leads to."""
    keys = _keys(steps) if canonical.edges else {}
    names = {index: key for key, index in keys.items()}
    for index, value, came in canonical.edges:
        listed = isinstance(value, list)
        for position, target in enumerate(value if isinstance(value, list) else [value]):
            where = (*came, position) if listed else came
            if isinstance(target, str) and target in keys and index in names:
                _add_dependency(canonical, steps, keys[target], names[index], where)
            elif target is not None and index in names:
                finding = Finding(
                    path=where,
                    code="unknown_step",
                    message=f"unknown step {shown(str(target))}",
                    wrong=str(target),
                    candidates=keys,
                    written=True,
                )
                canonical.findings.append(finding)


def _add_dependency(
    canonical: Canonical, steps: list[object], index: int, key: str, came: Path
) -> None:
    step = steps[index]
    if not isinstance(step, dict):
        return
    present = step.get("dependsOn", [])
    if isinstance(present, list) and key not in present:
        canonical.moves[("steps", index, "dependsOn", len(present))] = came
        steps[index] = {**step, "dependsOn": [*present, key]}


def _chain(canonical: Canonical, steps: list[object], parallel: object) -> None:
    """Let each step follow the one before, where the workflow is not parallel."""
    came = canonical.origin(("parallel",))
    if not isinstance(parallel, bool):
        canonical.find(came, "wrong_type", "'parallel' must be true or false")
    if parallel is not False:
        return
    keys = {index: key for key, index in _keys(steps).items()}
    for index, step in enumerate(steps[1:], start=1):
        if isinstance(step, dict) and "dependsOn" not in step and index - 1 in keys:
            _add_dependency(canonical, steps, index, keys[index - 1], came)
