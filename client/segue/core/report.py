"""The report of a run: which of its outputs is the text that a person reads?"""


def report_of(output: object) -> str | None:
    """Return the output's `report` text, else its first text, else None."""
    match output:
        case str():
            return output
        case {"report": str() as text}:
            return text
        case {"report": dict() as inner}:
            return report_of(inner)
        case dict():
            return next((value for value in output.values() if isinstance(value, str)), None)
        case _:
            return None
