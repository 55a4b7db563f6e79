"""The process: how is the gateway run by itself?"""

import segue_shared.loading  # noqa: F401 - first, since it is for what follows

# isort: split

from segue_contracts.v1 import subjects
from segue_contracts.v1.service_state import state_event
from segue_gateway.app import NAME, REQUIRES, build
from segue_gateway.settings import Settings
from segue_shared.service import Vocabulary, run

if __name__ == "__main__":
    raise SystemExit(
        run(
            NAME,
            Settings,
            build,
            requires=REQUIRES,
            asgi=lambda service: service.asgi,
            vocabulary=Vocabulary(template=subjects.template, state_event=state_event),
        )
    )
