"""The process: how is the providers service started?"""

from segue_contracts.v1.subjects import template
from segue_contracts.v1.topology import PAYLOADS, RUNS, TELEMETRY
from segue_providers.app import build
from segue_providers.settings import Settings
from segue_shared.service import Requires, Vocabulary, run

if __name__ == "__main__":
    raise SystemExit(
        run(
            "providers",
            Settings,
            build,
            requires=Requires(streams=(RUNS, TELEMETRY), object_buckets=(PAYLOADS,)),
            vocabulary=Vocabulary(template=template),
        )
    )
