"""Agent steps: how does a task of the pool `agents` become an outcome?"""

from segue_agents.core.outcome import Fail, Finish
from segue_agents.shell.attempt import Attempt, Equipment
from segue_agents.shell.failures import failure_of
from segue_contracts.envelope import Message
from segue_contracts.v1.steps import StepCompleted, StepFailed
from segue_contracts.v1.values import Failure
from segue_worker.ports import Superseded
from segue_worker.ticket import Ticket


class AgentStep:
    """Carries steps that ask for an agent out.

    Args:
        equipment: What attempts are carried out with.
    """

    def __init__(self, equipment: Equipment) -> None:
        self._with = equipment

    async def outcome(self, ticket: Ticket) -> Message | Superseded:
        """Carry the attempt out, and return what came of it.

        Raises:
            SegueError: Something it needs is not there; the error says whether it may come back.
        """
        match await Attempt(ticket, self._with).run():
            case Finish() as result:
                return StepCompleted(
                    output=await self._with.payloads.wrap(result.output),
                    usage=result.usage,
                    provider=result.provider,
                    model=result.model,
                    worker=ticket.worker,
                    notes=list(result.notes),
                )
            case Fail() as result:
                return StepFailed(error=result.failure, usage=result.usage, worker=ticket.worker)
            case Superseded() as superseded:
                return superseded

    def failure(self, error: Exception) -> Failure:
        """Say what a lasting error means."""
        return failure_of(error)
