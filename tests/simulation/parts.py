"""The parts of one simulation: everything around the relay, built from a scenario."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hookline.model import Address
from hookline.relay.spool.factory import SpoolStore
from hookline.relay.spool.sqlite.embedded import EmbeddedStore
from hookline.relay.spool.sqlite.storage_access import StorageAccess
from simulation.checks.invariants import Invariants
from simulation.choices import choose_events
from simulation.disk import RESERVE_BYTES, SimulatedDisk
from simulation.endpoints import SimulatedEndpoint
from simulation.events import SimulatedEvent
from simulation.input_writer import InputWriter
from simulation.scenario import URL_VERSIONS, Input, Scenario, url
from simulation.state import SimulatedState
from simulation.storage import SimulatedStorage
from simulation.world import World

# Creates the storage and the store of a spool, given an empty directory.
MakeSpool = Callable[[World, Scenario, Path], tuple[SimulatedStorage, SpoolStore]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationParts:
    """The surroundings of a relay. They outlive its processes. Events are named by number, endpoints by URL."""

    world: World
    scenario: Scenario
    events: dict[int, SimulatedEvent]
    writer: InputWriter
    storage: SimulatedStorage
    store: SpoolStore
    state: SimulatedState
    endpoints: dict[str, SimulatedEndpoint]
    invariants: Invariants

    def endpoint_was_gone(self, address: Address) -> bool:
        """Whether an endpoint of this webhook was planned to answer 410."""
        return any(self.endpoints[url(address, version)].was_gone for version in range(URL_VERSIONS))


def embedded_spool(world: World, scenario: Scenario, directory: Path) -> tuple[SimulatedStorage, SpoolStore]:
    """A spool on a simulated disk. Implements MakeSpool."""
    spool = directory / "spool"
    spool.mkdir(mode=0o700)
    disk = SimulatedDisk(spool, world, checkpoint_pages=scenario.checkpoint_pages)
    access = StorageAccess(
        connect=disk.connect,
        sync=disk.sync,
        reserve_bytes=RESERVE_BYTES,
        monotonic=world.even,
        sleep=world.sleep,
    )
    return disk, EmbeddedStore(spool, access)


def build_parts(world: World, scenario: Scenario, directory: Path, make_spool: MakeSpool) -> SimulationParts:
    """Create the parts of a simulation, with their files in an empty `directory`."""
    world.hide(str(directory))
    inputs = directory / "in"
    inputs.mkdir()
    events = choose_events(world.random, scenario)
    state = SimulatedState(scenario.documents)
    storage, store = make_spool(world, scenario, directory)
    return SimulationParts(
        world=world,
        scenario=scenario,
        events=events,
        writer=InputWriter(world, scenario, tuple(events.values()), inputs),
        storage=storage,
        store=store,
        state=state,
        endpoints={one: SimulatedEndpoint(one, world, phases) for one, phases in sorted(scenario.phases.items())},
        invariants=Invariants(world, events, storage, state, is_reread=scenario.input is Input.PIPE),
    )
