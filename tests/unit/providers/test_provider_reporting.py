"""Do others learn how the providers fare, and only when that changed?"""

import asyncio

from unit.providers.provider_support import Stage, asking, becomes

from segue_contracts.v1.providers import ProvidersReported
from segue_providers.shell.reporting import PACE_S


async def test_a_report_is_made_at_first_and_after_each_change() -> None:
    """A call changes the figures; time alone tells nothing new."""
    stage = Stage()
    watching = asyncio.create_task(stage.service.parts.reporter.watch())

    def told() -> list[ProvidersReported]:
        bodies = stage.bus.bodies("*.tel.providers.health.reported")
        return [one for one in bodies if isinstance(one, ProvidersReported)]

    await becomes(lambda: len(told()) == 1)
    await stage.clock.advance(PACE_S)
    assert len(told()) == 1
    await stage.chat(asking("x"))
    await stage.clock.advance(PACE_S)
    await becomes(lambda: len(told()) == 2)
    watching.cancel()

    [offline] = [one for one in told()[-1].state.providers if one.name == "offline"]
    assert [one.model for one in offline.models] == ["offline-extractive-1"]
