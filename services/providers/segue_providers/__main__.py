"""The process: how is the providers service run by itself?"""

from segue_contracts.v1.service_state import state_event
from segue_contracts.v1.subjects import template
from segue_providers.app import REQUIRES, build
from segue_providers.settings import Settings
from segue_providers.shell.router import SERVICE
from segue_shared.service import Vocabulary, run

if __name__ == "__main__":
    vocabulary = Vocabulary(template=template, state_event=state_event)
    raise SystemExit(run(SERVICE, Settings, build, requires=REQUIRES, vocabulary=vocabulary))
