"""The local broker's configuration: what does `segue up` tell nats-server?"""

import json
from typing import Final, Literal

Durability = Literal["fast", "fsync"]
"""The durability profiles that one broker can have."""

DURABILITY_WORDS: Final[dict[Durability, str]] = {
    "fast": (
        "fast: what is stored survives the crash of any process; "
        "a power cut can lose the last two minutes"
    ),
    "fsync": "fsync: what is stored is on the disk before it counts, so it survives a power cut",
}
"""What each profile promises."""

REPLICATED_REFUSAL: Final = (
    "the profile 'replicated' needs three brokers on three machines; one machine cannot give it. "
    "Choose fast or fsync here, or set NATS_URL to a replicated cluster"
)

EXTERNAL_WORDS: Final = "as your broker is configured: Segue did not start it"


def render(*, port: int, store_dir: str, durability: Durability) -> str:
    """Return the configuration file of a broker that only this machine reaches.

    Args:
        port: Where it listens on 127.0.0.1.
        store_dir: Where JetStream keeps its files.
        durability: When a stored message counts.
    """
    sync = '\n  sync_interval: "always"' if durability == "fsync" else ""
    # The flags stay off because nats-py 2.16 cannot read the acknowledgement subjects they change.
    return f"""\
server_name: "segue-local"
host: "127.0.0.1"
port: {port}
jetstream {{
  store_dir: {json.dumps(store_dir)}{sync}
}}
feature_flags {{
  js_ack_fc_v2: false
  js_api_reply_v2: false
}}
"""
