"""Masking: what of a text must nobody read?"""

import re
from typing import Final

REDACTED: Final = "[redacted]"
"""What stands where a secret stood."""

_SECRET: Final = re.compile(
    r"""
    (?P<user> :// [^/\s:@]* : ) (?! \d{1,5} (?: [^\d@] | \Z ) ) (?: (?! ,\s*\w+:// ) \S )+ (?=@)
    | (?P<scheme> :// ) [^/\s:@]+ (?=@)
    | (?P<word> \b (?:Bearer|Basic) \s+ ) [^\s@"']+
    | \b S [UANOCX] [A-Z2-7]{56} \b
    | \b (?:sk|pk|rk)[-_] [A-Za-z0-9_-]{16,}
    | \b gh[pousr]_ [A-Za-z0-9]{20,}
    | \b github_pat_ [A-Za-z0-9_]{20,}
    | \b xox[abprs]- [A-Za-z0-9-]{10,}
    | \b AIza [A-Za-z0-9_-]{30,}
    | \b (?:AKIA|ASIA) [A-Z0-9]{16} \b
    | \b eyJ [A-Za-z0-9_-]{8,} \. [A-Za-z0-9_-]{8,} \. [A-Za-z0-9_-]*
    | -----BEGIN\ [A-Z ]*PRIVATE\ KEY----- [\s\S]*? (?:-----END\ [A-Z ]*PRIVATE\ KEY----- | \Z)
    """,
    re.VERBOSE,
)


def masked(text: str) -> str:
    """Return a text without what looks like a secret, wherever it stands.

    Of an address `scheme://user:password@host` the user stays; alone before the `@` it is a token.
    """
    return _SECRET.sub(_without_secret, text)


def _without_secret(match: re.Match[str]) -> str:
    kept = match[match.lastgroup] if match.lastgroup else ""
    return f"{kept}{REDACTED}"
