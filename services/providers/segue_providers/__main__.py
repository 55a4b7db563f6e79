"""The process: how is the providers service run by itself?"""

import segue_shared.loading  # noqa: F401 - first, since it is for what follows

# isort: split

import gc
from typing import Final

from segue_contracts.v1.service_state import state_event
from segue_contracts.v1.subjects import template
from segue_providers.app import REQUIRES, Providers, build
from segue_providers.settings import Settings
from segue_providers.shell.telling import SERVICE
from segue_shared.runtime import Runtime
from segue_shared.service import Vocabulary, run

_YOUNG: Final = 10_000
"""Objects after which the collector looks for garbage; a call makes hundreds that live briefly."""


def built(settings: Settings, runtime: Runtime) -> Providers:
    """Build the service, and have the garbage collector pass over what stays for good.

    Price table, configuration and vendors' libraries are some 200,000 objects, and looking through
    all of them would stop every call for a fifth of a second now and then.
    """
    service = build(settings, runtime)
    gc.freeze()
    gc.set_threshold(_YOUNG)
    return service


if __name__ == "__main__":
    vocabulary = Vocabulary(template=template, state_event=state_event)
    raise SystemExit(run(SERVICE, Settings, built, requires=REQUIRES, vocabulary=vocabulary))
