"""Binding: who can reach the gateway where it listens?"""

import re
from ipaddress import ip_address
from typing import Final

_AUTHORITY: Final = re.compile(r"(?:\[([^\]]*)\]|([^:\[\]]*))(?::\d+)?")


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches a host name or address."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def names_loopback(authority: str) -> bool:
    """Tell whether a `Host` header names this machine's loopback interface.

    A page from elsewhere can make its own name resolve to 127.0.0.1 (DNS rebinding), but it cannot
    make a browser send another name than its own.
    """
    match = _AUTHORITY.fullmatch(authority)
    return match is not None and is_loopback(match[1] or match[2] or "")
