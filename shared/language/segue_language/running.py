"""What does a template give that takes the sandbox?"""

from collections.abc import Iterable

from jinja2.exceptions import TemplateError

from segue_language.paths import Reference, Scope, UnresolvedError, is_known, reference, resolve
from segue_language.sandbox import METER, SANDBOX, BoundError, Meter
from segue_language.syntax import RESULT, code_of
from segue_language.templates import ExpressionError, Mode
from segue_language.tree import KNOWN, LOOKUP, PLACEHOLDER
from segue_language.values import MAX_OUTPUT, plain

_FAULTS = (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError)


class _Lookups:
    """What the sandbox calls to follow paths."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    def path(self, *parts: str) -> object:
        """Return what a path leads to, or what raises once it is used."""
        path = reference(parts[0]) if len(parts) == 1 else Reference(".".join(parts), parts)
        try:
            return resolve(path, self._scope)
        except UnresolvedError as error:
            return SANDBOX.undefined(hint=str(error), name=path.text)

    def known(self, text: str) -> bool:
        """Tell whether a hyphenated path is a path rather than a subtraction."""
        return is_known(reference(text), self._scope)

    def placeholder(self, text: str) -> object:
        """Return what a placeholder stands for, or the placeholder."""
        return self.path(text) if self.known(text) else f"{{{text}}}"


def run(source: str, mode: Mode, scope: Scope) -> object:
    """Run a template in the sandbox.

    Raises:
        ExpressionError: It is wrong, or leads to nothing.
    """
    lookups = _Lookups(scope)
    names: dict[str, object] = {
        LOOKUP: lookups.path,
        KNOWN: lookups.known,
        PLACEHOLDER: lookups.placeholder,
        METER: Meter(),
        **SANDBOX.globals,
    }
    code = code_of(source, mode)
    context = code.new_context(names, shared=True)
    try:
        text = _collect(code.root_render_func(context))
        return plain(context.vars[RESULT]) if RESULT in context.vars else text
    except _FAULTS as error:
        reason = getattr(error, "message", None) or str(error) or type(error).__name__
        raise ExpressionError(source, reason) from error
    except RecursionError as error:
        raise ExpressionError(source, "the value is nested too deeply") from error


def _collect(chunks: Iterable[str]) -> str:
    texts: list[str] = []
    length = 0
    for chunk in chunks:
        length += len(chunk)
        if length > MAX_OUTPUT:
            raise BoundError("the text exceeds 1 MiB")
        texts.append(chunk)
    return "".join(texts)
