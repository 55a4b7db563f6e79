"""What may an expression do, and how much of it?

Jinja's immutable sandbox, narrowed: listed filters, tests and methods only, data but no attributes
of objects, and a meter that bounds loops, operations, numbers and texts.
"""

from collections.abc import Callable, Mapping, Sized
from typing import Final, NoReturn

from jinja2 import StrictUndefined, Undefined, pass_context
from jinja2.exceptions import SecurityError
from jinja2.filters import FILTERS
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.tests import TESTS

from segue_language.values import MAX_BITS, MAX_ITEMS, MAX_OUTPUT, bounded, to_json, to_text

MAX_OPERATIONS: Final = 200_000
MAX_LOOPS: Final = 10_000
METER: Final = "_meter"
EACH: Final = "_each"
_CHARACTERS_PER_OPERATION: Final = 64
_MAX_PRECISION: Final = 15
_MAX_INDENT: Final = 100

METHODS: Final = frozenset(
    [
        "upper",
        "lower",
        "strip",
        "lstrip",
        "rstrip",
        "title",
        "capitalize",
        "startswith",
        "endswith",
        "removeprefix",
        "removesuffix",
        "split",
        "rsplit",
        "splitlines",
        "find",
        "count",
        "isdigit",
        "isalpha",
        "items",
        "keys",
        "values",
        "get",
        "index",
    ]
)
AS_FILTERS: Final = frozenset({"replace", "join"})
"""Methods that could build huge texts run as their bounded filters."""

_LOOP: Final = frozenset(
    [
        "index",
        "index0",
        "revindex",
        "revindex0",
        "first",
        "last",
        "length",
        "cycle",
        "depth",
        "depth0",
        "previtem",
        "nextitem",
    ]
)
_PLAIN_FILTERS: Final = [
    "abs",
    "capitalize",
    "count",
    "default",
    "d",
    "dictsort",
    "first",
    "float",
    "groupby",
    "int",
    "items",
    "last",
    "length",
    "list",
    "lower",
    "map",
    "max",
    "min",
    "reject",
    "rejectattr",
    "reverse",
    "select",
    "selectattr",
    "sort",
    "title",
    "trim",
    "truncate",
    "unique",
    "upper",
    "urlencode",
    "wordcount",
]
_TESTS: Final = [
    "boolean",
    "defined",
    "divisibleby",
    "eq",
    "equalto",
    "even",
    "false",
    "float",
    "ge",
    "greaterthan",
    "gt",
    "in",
    "integer",
    "iterable",
    "le",
    "lessthan",
    "lower",
    "lt",
    "mapping",
    "ne",
    "none",
    "number",
    "odd",
    "sequence",
    "string",
    "true",
    "undefined",
    "upper",
    "==",
    "!=",
    ">",
    ">=",
    "<",
    "<=",
]

Function = Callable[..., object]


class BoundError(SecurityError):
    """An expression wanted more than it may have."""


class Meter:
    """Counts what one rendering does."""

    def __init__(self) -> None:
        self._operations = MAX_OPERATIONS
        self._loops = MAX_LOOPS

    def spend(self, operations: int) -> None:
        """Take operations from what is left."""
        self._operations -= operations
        if self._operations < 0:
            raise BoundError(f"it takes more than {MAX_OPERATIONS:,} operations")

    def loop(self) -> None:
        """Take one round of a loop."""
        self._loops -= 1
        if self._loops < 0:
            raise BoundError(f"its loops take more than {MAX_LOOPS:,} rounds")

    def weigh(self, value: object) -> None:
        """Spend what it takes to go through a value once."""
        if isinstance(value, str):
            self.spend(1 + len(value) // _CHARACTERS_PER_OPERATION)
        elif isinstance(value, Sized) and not isinstance(value, Undefined):
            self.spend(1 + len(value))
        else:
            self.spend(1)


def _meter(context: Context) -> Meter:
    meter = context.parent[METER]
    if not isinstance(meter, Meter):
        raise BoundError("there is no meter")
    return meter


def _check_length(length: int) -> None:
    if length > MAX_OUTPUT:
        raise BoundError("the result exceeds 1 MiB")


def _metered(function: Function) -> Function:
    """Weigh what goes into a filter and what comes out, and hand it the argument it wants."""
    wanted = getattr(getattr(function, "jinja_pass_arg", None), "name", "")

    @pass_context
    def run(context: Context, value: object, *args: object, **kwargs: object) -> object:
        meter = _meter(context)
        meter.weigh(value)
        first = {
            "context": (context,),
            "eval_context": (context.eval_ctx,),
            "environment": (context.environment,),
        }.get(wanted, ())
        result = function(*first, value, *args, **kwargs)
        meter.weigh(result)
        return result

    return run


@pass_context
def _each(context: Context, values: object) -> object:
    """Count a loop's rounds; the loop knows its length all the same."""
    meter = _meter(context)
    items = bounded(values)
    for _ in items:
        meter.loop()
    return items


def _join(values: object, separator: object = "", attribute: str | None = None) -> str:
    names = attribute.split(".") if attribute else []
    texts = [to_text(_at(item, names)) for item in bounded(values)]
    between = to_text(separator)
    _check_length(sum(map(len, texts)) + len(between) * len(texts))
    return between.join(texts)


def _at(item: object, names: list[str]) -> object:
    for name in names:
        if not isinstance(item, Mapping):
            raise TypeError(f"there is no {name!r} to join")
        item = item[name]
    return item


def _replace(text: object, old: str, new: str, count: int = -1) -> str:
    given = to_text(text)
    times = given.count(old) if count < 0 else min(count, given.count(old))
    _check_length(len(given) + times * (len(new) - len(old)))
    return given.replace(old, new, count)


def _round(value: float, precision: int = 0, method: str = "common") -> object:
    if abs(precision) > _MAX_PRECISION:
        raise BoundError(f"round() takes a precision of at most {_MAX_PRECISION}")
    return FILTERS["round"](value, precision, method)


def _indent(text: object, width: int = 4, first: bool = False) -> str:  # noqa: FBT001, FBT002 - the filter's customary form
    given = to_text(text)
    if not 0 <= width <= _MAX_INDENT:
        raise BoundError(f"indent() takes a width of at most {_MAX_INDENT}")
    _check_length(len(given) + width * (given.count("\n") + 1))
    indented = given.replace("\n", "\n" + " " * width)
    return " " * width + indented if first else indented


def _to_json(value: object, indent: int | None = None) -> str:
    if indent is not None and not 0 <= indent <= _MAX_PRECISION:
        raise BoundError(f"tojson() takes an indent of at most {_MAX_PRECISION}")
    return to_json(value, indent)


def _sum(values: object, attribute: str | None = None, start: float = 0) -> object:
    names = attribute.split(".") if attribute else []
    total = start
    for item in bounded(values):
        number = _at(item, names)
        if not isinstance(number, int | float):
            raise TypeError("sum() takes numbers")
        total += number
    return total


@pass_context
def _range(context: Context, *bounds: int) -> range:
    numbers = range(*bounds)
    if len(numbers) > MAX_ITEMS:
        raise BoundError(f"range() gives at most {MAX_ITEMS:,} numbers")
    _meter(context).weigh(numbers)
    return numbers


class Sandbox(ImmutableSandboxedEnvironment):
    """The environment in which expressions run."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self) -> None:
        super().__init__(
            undefined=StrictUndefined,
            finalize=to_text,
            optimized=False,
            keep_trailing_newline=True,
            cache_size=0,
        )
        own: dict[str, Function] = {
            "join": _join,
            "replace": _replace,
            "round": _round,
            "indent": _indent,
            "tojson": _to_json,
            "string": to_text,
            "sum": _sum,
        }
        own.update((name, FILTERS[name]) for name in _PLAIN_FILTERS)
        self.filters = {name: _metered(function) for name, function in own.items()}
        self.filters[EACH] = _each
        self.tests = {name: TESTS[name] for name in _TESTS}
        self.globals = {"range": _range}

    def call_binop(self, context: Context, operator: str, left: object, right: object) -> object:
        """Compute an operation whose result could be huge, within bounds."""
        if operator == "+":
            return self._add(_meter(context), left, right)
        if operator == "*":
            return self._multiply(_meter(context), left, right)
        if operator == "**":
            return _power(left, right)
        if isinstance(left, str):
            raise BoundError("'%' takes numbers; join texts with '~'")
        return super().call_binop(context, operator, left, right)

    def _add(self, meter: Meter, left: object, right: object) -> object:
        if isinstance(left, str) and isinstance(right, str):
            _check_length(len(left) + len(right))
        for side in (left, right):
            meter.weigh(side)
        return self.binop_table["+"](left, right)

    def _multiply(self, meter: Meter, left: object, right: object) -> object:
        if isinstance(left, int) and isinstance(right, int):
            _check_bits(left.bit_length() + right.bit_length())
        for sequence, times in ((left, right), (right, left)):
            if isinstance(sequence, str | list | tuple) and isinstance(times, int):
                _check_length(len(sequence) * max(times, 0))
                meter.spend(len(sequence) * max(times, 0) // _CHARACTERS_PER_OPERATION)
        return self.binop_table["*"](left, right)

    def getattr(self, obj: object, attribute: str) -> object:
        """Look into data; of objects, only the listed methods and a loop's facts are there."""
        if isinstance(obj, Mapping) and attribute in obj:
            return obj[attribute]
        if isinstance(obj, LoopContext) and attribute in _LOOP:
            return getattr(obj, attribute)
        if isinstance(obj, tuple) and attribute in _fields(obj):
            return getattr(obj, attribute)
        if isinstance(obj, str | Mapping | list | tuple) and attribute in METHODS:
            return getattr(obj, attribute, self.undefined(obj=obj, name=attribute))
        return self.undefined(obj=obj, name=attribute)

    def getitem(self, obj: object, argument: object) -> object:
        """Look into data by name, index or slice."""
        if isinstance(obj, Mapping) and argument in obj:
            return obj[argument]
        if isinstance(obj, tuple) and argument in _fields(obj):
            return getattr(obj, str(argument))
        if isinstance(obj, list | tuple | str | range) and isinstance(argument, int | slice):
            try:
                return obj[argument]
            except (IndexError, TypeError, ValueError):
                pass
        return self.undefined(obj=obj, name=str(argument)[:40])


def _fields(group: tuple[object, ...]) -> tuple[str, ...]:
    """Return the names in a group that `groupby` gives, `grouper` and `list`."""
    names: tuple[str, ...] = getattr(group, "_fields", ())
    return names


def _power(left: object, right: object) -> object:
    if not isinstance(left, int | float) or not isinstance(right, int | float):
        raise TypeError("'**' takes numbers")
    if isinstance(left, int) and isinstance(right, int) and right > 0:
        _check_bits(left.bit_length() * right)
    result: object = left**right
    return result if isinstance(result, int | float) else _refuse_complex()


def _refuse_complex() -> NoReturn:
    raise ValueError("the result is no real number")


def _check_bits(bits: int) -> None:
    if bits > MAX_BITS:
        raise BoundError("the number is too large")


SANDBOX: Final = Sandbox()
