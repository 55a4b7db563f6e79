"""The process: how is the agents service run by itself?"""

from segue_agents.app import NAME, REQUIRES, build
from segue_agents.settings import Settings
from segue_contracts.v1 import subjects
from segue_shared.service import Vocabulary, run

if __name__ == "__main__":
    vocabulary = Vocabulary(template=subjects.template)
    raise SystemExit(run(NAME, Settings, build, requires=REQUIRES, vocabulary=vocabulary))
