"""The simulated broker: how do services run in one process, in no time, from a seed?"""

from segue_testing.sim.connection import sim_bus
from segue_testing.sim.faults import FaultPlan, Faults
from segue_testing.sim.loop import StuckError, VirtualLoop, run_virtual
from segue_testing.sim.process import SimProcess
from segue_testing.sim.server import START_MS, SimServer
from segue_testing.sim.timing import SimClock, SimHeartbeat, SimIds, heartbeat_of

__all__ = [
    "START_MS",
    "FaultPlan",
    "Faults",
    "SimClock",
    "SimHeartbeat",
    "SimIds",
    "SimProcess",
    "SimServer",
    "StuckError",
    "VirtualLoop",
    "heartbeat_of",
    "run_virtual",
    "sim_bus",
]
