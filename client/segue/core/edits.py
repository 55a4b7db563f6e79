"""Edits: what did the command line say a fork has instead?"""

import json
import re
from collections.abc import Iterable
from typing import Final

_OUTPUT: Final = re.compile(r"steps\.(?P<step>.+?)\.output=(?P<value>.*)", re.DOTALL)


class EditError(ValueError):
    """An option has another form; the text names the one it has."""


def parse_outputs(options: Iterable[str]) -> dict[str, object]:
    """Read every `--set steps.<key>.output=<JSON>`.

    Raises:
        EditError: One has another form.
    """
    outputs: dict[str, object] = {}
    for option in options:
        match = _OUTPUT.fullmatch(option)
        if match is None:
            raise EditError(f"--set {option}: write steps.STEP.output=JSON")
        try:
            outputs[match["step"]] = json.loads(match["value"])
        except (json.JSONDecodeError, RecursionError) as error:
            message = f"--set {option}: the output is no JSON; a text needs double quotes"
            raise EditError(message) from error
    return outputs


def parse_inputs(options: Iterable[str]) -> dict[str, object]:
    """Read every `--input <name>=<value>`; a value that is no JSON is a text.

    Raises:
        EditError: One has another form.
    """
    inputs: dict[str, object] = {}
    for option in options:
        name, equals, value = option.partition("=")
        if not (name and equals):
            raise EditError(f"--input {option}: write NAME=VALUE")
        try:
            inputs[name] = json.loads(value)
        except (json.JSONDecodeError, RecursionError):
            inputs[name] = value
    return inputs
