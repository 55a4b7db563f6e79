"""Python source: what tree do these bytes parse to?"""

import ast
import sys
import warnings


class UnparsableError(Exception):
    """The bytes are no Python that this interpreter reads."""

    def __init__(self, message: str, *, line: int = 1, column: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.line = line
        self.column = column


def parse(source: bytes) -> ast.Module:
    """Parse a file's bytes; a coding cookie is obeyed.

    Raises:
        UnparsableError: They do not parse, with the place.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(source)
    except SyntaxError as error:
        raise _explained(error) from None
    except (RecursionError, MemoryError, ValueError) as error:
        reason = f"does not parse: too deep or too large ({type(error).__name__})"
        raise UnparsableError(reason) from None


def dotted(node: ast.AST) -> str:
    """Return `a.b.c` for a chain of names, else an empty text."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ""
    return ".".join([node.id, *reversed(parts)])


def _explained(error: SyntaxError) -> UnparsableError:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return UnparsableError(
        f"does not parse as Python {version}: {error.msg}",
        line=max(error.lineno or 1, 1),
        column=error.offset if error.offset and error.offset > 0 else None,
    )
