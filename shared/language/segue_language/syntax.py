"""What does a template say that is more than paths, and how is it compiled?

Its paths become lookups in Jinja's syntax tree.
"""

import json
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final

from jinja2 import nodes
from jinja2.environment import Template as Code
from jinja2.exceptions import TemplateError

from segue_language.problems import shown
from segue_language.sandbox import SANDBOX
from segue_language.templates import BARE, NAMED, ExpressionError, Mode
from segue_language.tree import KNOWN, LOOKUP, PLACEHOLDER, Inspection, TreeError, inspect

RESULT: Final = "result"
MAX_SOURCE: Final = 262_144
_CACHED_CODE: Final = 16_384
_FAULTS = (TemplateError, TreeError, ValueError, TypeError, LookupError, RecursionError)
_QUOTES = ("'", '"')


def inspected(source: str, mode: Mode) -> Inspection:
    """Read a template that takes the sandbox, its paths as lookups.

    Raises:
        ExpressionError: Its syntax is wrong, or it uses what is not available.
    """
    if len(source) > MAX_SOURCE:
        raise ExpressionError(source, "the template exceeds 256 KiB")
    try:
        text = _as_block(source) if mode == "condition" else source
        rewritten = "".join(_rewritten([*SANDBOX.lex(text)], placeholders=mode == "prompt"))
        return inspect(_parsed(rewritten))
    except _FAULTS as error:
        raise ExpressionError(source, _reason(error)) from error


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "the expression is nested too deeply"
    text = getattr(error, "message", None) or str(error) or "the expression is wrong"
    return text.rstrip(".").replace("'end of print statement'", "end of the expression")


def _parsed(text: str) -> nodes.Template:
    """Parse a template; blanks around one whole expression are no text."""
    stripped = text.strip()
    if stripped != text and stripped.startswith("{{"):
        tree = SANDBOX.parse(stripped)
        if expression_of(tree) is not None:
            return tree
    return SANDBOX.parse(text)


def expression_of(tree: nodes.Template) -> nodes.Expr | None:
    """Return the one expression that a template is."""
    if len(tree.body) != 1 or not isinstance(tree.body[0], nodes.Output):
        return None
    outputs = tree.body[0].nodes
    if len(outputs) != 1 or isinstance(outputs[0], nodes.TemplateData):
        return None
    return outputs[0]


def _as_block(condition: str) -> str:
    """Make one block of a condition: braces go, and quotes that stand around them."""
    stripped = condition.strip()
    if "{{" not in stripped:
        return "{{ " + stripped + " }}"
    tokens = [*SANDBOX.lex(stripped)]
    pieces: list[str] = []
    for index, (_, kind, value) in enumerate(tokens):
        if kind == "data":
            pieces.append(_unquoted(value, before=index > 0, after=index < len(tokens) - 1))
        elif kind in ("variable_begin", "variable_end"):
            pieces.append("(" if kind == "variable_begin" else ")")
        elif kind.startswith(("block", "raw", "comment")):
            raise TreeError("a condition is an expression, without '{%' and '{#'")
        else:
            pieces.append(value)
    return "{{ " + "".join(pieces) + " }}"


def _unquoted(text: str, *, before: bool, after: bool) -> str:
    """Drop the quotes of `'{{x}}' == 'y'` that touch a block, and refuse a block inside others."""
    if before and text[:1] in _QUOTES:
        text = text[1:]
    if after and text[-1:] in _QUOTES and text.count(text[-1]) % 2:
        text = text[:-1]
    if any(text.count(quote) % 2 for quote in _QUOTES):
        raise TreeError("braces inside quotes mean text; write the condition without braces")
    return text


Token = tuple[int, str, str]


def _rewritten(tokens: Sequence[Token], *, placeholders: bool) -> Iterator[str]:
    """Yield the source again, with hyphenated paths and placeholders as lookups."""
    raw = False
    index = 0
    while index < len(tokens):
        _, kind, value = tokens[index]
        raw = kind == "raw_begin" or (raw and kind != "raw_end")
        if kind == "data":
            index += 1
            yield _with_placeholders(value) if placeholders and not raw else value
            continue
        end = _run_end(tokens, index)
        yield _hyphenated(tokens, index, end) if end > index else value
        index = max(end, index + 1)


def _with_placeholders(text: str) -> str:
    return NAMED.sub(lambda match: f"{{{{ {PLACEHOLDER}({json.dumps(match[1])}) }}}}", text)


def _run_end(tokens: Sequence[Token], start: int) -> int:
    """Return where the tokens end that touch each other and could form one path."""
    end = start
    while end < len(tokens):
        _, kind, value = tokens[end]
        if kind == "name" and value.startswith("__" if end > start else "_"):
            raise TreeError(f"{shown(value)} is not available: names do not begin with '_'")
        if kind not in ("name", "integer", "float") and value not in ("-", "."):
            break
        end += 1
    return end


def _hyphenated(tokens: Sequence[Token], start: int, end: int) -> str:
    text = "".join(value for _, _, value in tokens[start:end])
    before = next(
        (value for _, kind, value in reversed(tokens[:start]) if kind != "whitespace"), ""
    )
    called = end < len(tokens) and tokens[end][2] == "("
    if "-" not in text or called or before in ("|", "is") or not BARE.fullmatch(text):
        return text
    quoted = json.dumps(text)
    return f"({LOOKUP}({quoted}) if {KNOWN}({quoted}) else {text})"


def code_of(source: str, mode: Mode) -> Code:
    """Compile a template for the sandbox; one whole expression leaves its value in `RESULT`.

    Raises:
        ExpressionError: It cannot be compiled.
    """
    return (_compiled_cached if len(source) <= _CACHED_CODE else _compiled)(source, mode)


def _compiled(source: str, mode: Mode) -> Code:
    tree = inspected(source, mode).tree
    expression = expression_of(tree)
    if expression is not None:
        target = nodes.Name(RESULT, "store", lineno=1)
        tree = nodes.Template([nodes.Assign(target, expression, lineno=1)], lineno=1)
    tree.set_environment(SANDBOX)
    try:
        return SANDBOX.from_string(tree)
    except (TemplateError, SyntaxError, RecursionError, MemoryError) as error:
        raise ExpressionError(source, "the expression is too complicated") from error


_compiled_cached = lru_cache(maxsize=512)(_compiled)
