"""The configuration file: what does it and the environment configure, and what is wrong with it?

The file is merged over the built-in configuration, field by field; lists are replaced. Variables
go over both. All problems are told at once, each with its place and a way out.
"""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from types import MappingProxyType
from typing import Final

import msgspec
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from segue_providers.core.configuration import (
    Configuration,
    FallbackRule,
    KeySource,
    Limits,
    Model,
    NamespaceRules,
    Price,
    Provider,
    Timeouts,
)
from segue_providers.core.defaults import DEFAULT
from segue_providers.core.references import Flaw, Place, flaws
from segue_providers.core.yaml_text import Text, UnreadableError, read

PREFIX: Final = "SEGUE_PROVIDERS_"
"""What the name of every variable begins with."""
VARIABLES: Final = ("base_url", "default_model", "enabled", "priority")
"""The fields of a provider that `SEGUE_PROVIDERS_<NAME>_<FIELD>` sets."""

Tree = dict[str, object]

_MODELS: Final[Mapping[tuple[str, ...], type[BaseModel]]] = MappingProxyType(
    {
        (): Configuration,
        ("providers", "*"): Provider,
        ("providers", "*", "keys", "*"): KeySource,
        ("providers", "*", "timeouts"): Timeouts,
        ("providers", "*", "limits"): Limits,
        ("providers", "*", "models", "*"): Model,
        ("providers", "*", "models", "*", "price"): Price,
        ("fallbacks", "*"): FallbackRule,
        ("namespaces", "*"): NamespaceRules,
    }
)
_WILD: Final = frozenset({"providers", "keys", "models", "fallbacks", "namespaces"})
_KEY_FIELDS: Final = frozenset({"key", "api_key", "apikey", "secret", "token"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sources:
    """Where the parts of a configuration come from."""

    where: str
    """The file, as people know it."""
    text: Text
    variables: Mapping[Place, str]
    """What a variable set, and which one."""

    def told(self, flaw: Flaw) -> str:
        """Write a flaw with its place."""
        place, message = flaw
        for set_by, variable in self.variables.items():
            if place[: len(set_by)] == set_by:
                return f"{variable}: {message}"
        line = self.text.line(place)
        at = f"{self.where}:{line}" if line else self.where
        return f"{at}: {'.'.join(map(str, place))}: {message}" if place else f"{at}: {message}"


def parse(
    text: str, *, where: str, environ: Mapping[str, str] = MappingProxyType({})
) -> Configuration | list[str]:
    """Read a configuration file over the built-in configuration.

    Args:
        text: The file's text, YAML or JSON; empty for none.
        where: The file, for messages.
        environ: The environment's variables.

    Returns:
        The configuration, or all that is wrong, a line each.
    """
    try:
        read_text = read(text)
    except UnreadableError as error:
        at = f"{where}:{error.line}" if error.line else where
        return [f"{at}: {error}"]
    given = {} if read_text.data is None else read_text.data
    if not isinstance(given, dict):
        return [f"{where}:1: the file must hold fields, such as 'policy: latency'"]
    data = _merged(DEFAULT, given)
    variables, strangers = _overridden(data, environ)
    sources = _Sources(where=where, text=read_text, variables=variables)
    configuration, found = _validated(data)
    problems = [*strangers, *map(sources.told, found)]
    return configuration if configuration is not None and not problems else problems


def digest(part: BaseModel) -> str:
    """Return the SHA-256 of a configuration or a part, the same on every instance, hexadecimal."""
    plain = part.model_dump(mode="python")
    return sha256(msgspec.json.encode(plain, order="sorted")).hexdigest()


def _merged(under: Mapping[str, object], over: Mapping[str, object]) -> Tree:
    """Lay one tree over another; a field without a value changes nothing."""
    merged = {name: _copied(value) for name, value in under.items()}
    for name, value in over.items():
        below = merged.get(name)
        if isinstance(value, dict):
            merged[name] = _merged(below if isinstance(below, dict) else {}, value)
        elif value is not None:
            merged[name] = value
    return merged


def _copied(value: object) -> object:
    return _merged(value, {}) if isinstance(value, Mapping) else value


def _overridden(data: Tree, environ: Mapping[str, str]) -> tuple[dict[Place, str], list[str]]:
    """Set what variables say; return which said what, and those that mean nobody."""
    providers = data.get("providers")
    named = providers if isinstance(providers, dict) else {}
    heads = {str(name).upper().replace("-", "_"): name for name in named}
    said: dict[Place, str] = {}
    strangers = []
    for variable, head, field in _fields_in(environ):
        name = heads.get(head)
        if name is None:
            known = ", ".join(sorted(heads))
            strangers.append(f"{variable}: there is no such provider; there are {known}")
        elif isinstance(named[name], dict):
            named[name][field] = environ[variable].strip()
            said["providers", name, field] = variable
    return said, strangers


def _fields_in(environ: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Yield each variable that sets a provider's field, with the provider and the field."""
    for variable in sorted(environ):
        for field in VARIABLES:
            suffix = f"_{field.upper()}"
            head = variable.removeprefix(PREFIX).removesuffix(suffix)
            whole = f"{PREFIX}{head}{suffix}" == variable
            if whole and head and environ[variable].strip():
                yield variable, head, field


def _validated(data: Tree) -> tuple[Configuration | None, list[Flaw]]:
    """Validate a tree, and the names in what is valid of it even when not all is."""
    whole, found = _tried(data)
    if whole is not None:
        return whole, flaws(whole)
    rest, _ = _tried(_without(data, [place[:2] for place, _ in found]))
    named = [] if rest is None else flaws(rest, besides=_names_in(data))
    return None, [*found, *_beside(found, named)]


def _tried(data: Tree) -> tuple[Configuration | None, list[Flaw]]:
    try:
        return Configuration.model_validate(data), []
    except ValidationError as error:
        return None, [_flaw(one) for one in error.errors(include_input=False, include_url=False)]


def _beside(found: list[Flaw], others: list[Flaw]) -> Iterator[Flaw]:
    """Yield flaws with the places they have where nothing was left out."""
    gone = sorted({place[1] for place, _ in found if place[:1] == ("fallbacks",) and place[1:]})
    for place, message in others:
        if place[0] == "fallbacks":
            index = int(place[1])
            for left_out in gone:
                index += int(left_out) <= index
            yield (place[0], index, *place[2:]), message
        else:
            yield place, message


def _without(data: Tree, places: list[Place]) -> Tree:
    """Return a tree without what stands at some places, at most two fields deep."""
    rest: Tree = {}
    for name, value in data.items():
        if (name,) in places:
            continue
        if isinstance(value, dict):
            kept = {key: one for key, one in value.items() if (name, key) not in places}
            rest[name] = kept
        elif isinstance(value, list):
            rest[name] = [one for n, one in enumerate(value) if (name, n) not in places]
        else:
            rest[name] = value
    return {"providers": {}, **rest}


def _names_in(data: Tree) -> frozenset[str]:
    """Return the names that providers have, the invalid ones included."""
    providers = data.get("providers")
    if not isinstance(providers, dict):
        return frozenset()
    names = {str(name) for name in providers}
    for provider in providers.values():
        for field in ("aliases", "models"):
            listed = provider.get(field) if isinstance(provider, dict) else None
            names |= set(map(str, listed)) if isinstance(listed, list | dict) else set()
    return frozenset(names)


def _flaw(detail: ErrorDetails) -> Flaw:
    place = tuple(step for step in detail["loc"] if step != "[key]")
    match detail["type"]:
        case "extra_forbidden":
            return place, _unknown(place)
        case "missing":
            return place, "is missing"
        case _:
            return place, _plainly(place, detail["msg"].removeprefix("Value error, "))


def _plainly(place: Place, message: str) -> str:
    if place[2:3] == ("keys",) and "dictionary" in message:
        return "a key never stands here; write {env: VARIABLE} or {file: PATH}"
    return message[:1].lower() + message[1:]


def _unknown(place: Place) -> str:
    *around, name = map(str, place)
    model = _MODELS.get(tuple(_shape(around)))
    known = [] if model is None else list(model.model_fields)
    if name.lower() in _KEY_FIELDS:
        return "keys never stand in the file; write keys: [{env: VARIABLE}] or [{file: PATH}]"
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"
    return f"unknown field; {hint}"


def _shape(place: list[str]) -> Iterator[str]:
    """Yield a place with `*` where any name or number may stand."""
    wild = False
    for step in place:
        yield "*" if wild else step
        wild = not wild and step in _WILD
