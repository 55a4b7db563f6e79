"""The pool: how does this service come by its consumer and take tasks from it?"""

from typing import Final

import structlog

from segue_contracts.v1 import subjects
from segue_contracts.v1.commands import EnsurePool, PoolReady
from segue_contracts.v1.registry import POOL_ENSURE
from segue_contracts.v1.topology import LLM_POOL
from segue_providers.shell.ports import EventBus
from segue_shared.clock import Clock
from segue_shared.errors import RefusedError, TransientError

_log = structlog.get_logger()

_DELAYS_S: Final = (0.2, 0.5, 1.0, 2.0)


async def ensure_pool(bus: EventBus, *, clock: Clock, namespace: str) -> PoolReady:
    """Have the orchestrator make the consumer of the pool, and wait for it as long as it takes.

    Raises:
        RefusedError: The orchestrator will never make it.
    """
    subject = subjects.command(namespace, POOL_ENSURE.service, POOL_ENSURE.verb)
    tries = 0
    while True:
        try:
            return await bus.call(subject, EnsurePool(pool=LLM_POOL), PoolReady)
        except TransientError as error:
            _log.info("pool_awaited", pool=LLM_POOL, reason=str(error))
        except RefusedError as error:
            if not error.refused.retryable:
                raise
            _log.info("pool_awaited", pool=LLM_POOL, reason=error.refused.message)
        await clock.sleep(_DELAYS_S[min(tries, len(_DELAYS_S) - 1)])
        tries += 1
