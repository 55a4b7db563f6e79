"""The process: how is the agents service run by itself?"""

import segue_shared.loading  # noqa: F401 - first, since it is for what follows

# isort: split

from segue_agents.app import NAME, REQUIRES, build
from segue_agents.settings import Settings
from segue_contracts.v1.service_state import state_event
from segue_contracts.v1.subjects import template
from segue_shared.service import Vocabulary, run

if __name__ == "__main__":
    vocabulary = Vocabulary(template=template, state_event=state_event)
    raise SystemExit(run(NAME, Settings, build, requires=REQUIRES, vocabulary=vocabulary))
