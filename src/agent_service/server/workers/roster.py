"""Which worker to start and which to dismiss: the decisions of the supervisor, without its processes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent_service.core.clock import Clock


@dataclass(frozen=True, slots=True)
class RosterOptions:
    """How many workers, and what to make of those that do not live long.

    Attributes:
        size: workers that serve.
        steady_seconds: one that served so long is sound; its crash is no sign of the next.
        back_off_seconds: wait after a first early end; each that follows doubles it.
        back_off_limit_seconds: and no wait is longer.
        early_ends: so many in a row in every slot are the end of all.
    """

    size: int
    steady_seconds: float = 10.0
    back_off_seconds: float = 0.5
    back_off_limit_seconds: float = 30.0
    early_ends: int = 5

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"size must be at least 1, not {self.size}")


class Stage(Enum):
    """Where a worker is in its life."""

    STARTING = "starting"
    SERVING = "serving"
    LEAVING = "leaving"


class End(Enum):
    """What the end of a worker means."""

    EXPECTED = "expected"
    CRASH = "crash"
    FAILED_START = "failed start"
    FAILED_RENEWAL = "failed renewal"


@dataclass(slots=True)
class _Worker:
    slot: int
    stage: Stage = Stage.STARTING
    outdated: bool = False
    serving_since_seconds: float = 0.0


@dataclass(slots=True)
class _Slot:
    """A place for one worker that serves; ``early_ends`` counts those in a row."""

    early_ends: int = 0
    start_at_seconds: float = 0.0


class Roster:
    """Knows every worker by number and what stage it is in.

    The first worker starts alone: settings or a program that are wrong then fail once, and that is the end.
    A worker that ends is replaced, at once when it had served for long, after a growing wait otherwise.
    A renewal replaces one worker after the other; an old one is dismissed when its successor serves, and the
    next begins when it has left. A successor that does not come up ends the renewal: the old ones stay.

    Attributes:
        gives_up: every slot had too many early ends, or the first start failed.
    """

    def __init__(self, options: RosterOptions, *, clock: Clock) -> None:
        self.gives_up = False
        self._options = options
        self._clock = clock
        self._slots = [_Slot() for _ in range(options.size)]
        self._workers: dict[int, _Worker] = {}
        self._has_served = False
        self._stopping = False

    def __repr__(self) -> str:
        stages = ", ".join(f"{number} {worker.stage.value}" for number, worker in self._workers.items())
        return f"<Roster {stages or 'empty'}>"

    @property
    def is_over(self) -> bool:
        """Whether nobody is left and nobody will be started."""
        return (self._stopping or self.gives_up) and not self._workers

    @property
    def is_renewing(self) -> bool:
        """Whether some worker is still to be replaced by a new one."""
        return any(worker.outdated for worker in self._workers.values())

    def slots_to_start(self) -> list[int]:
        """The slots that need a worker now."""
        if self._stopping or self.gives_up:
            return []
        if not self._has_served:
            return [] if self._workers else [0]
        now_seconds = self._clock.monotonic()
        filled = {worker.slot for worker in self._workers.values() if worker.stage is not Stage.LEAVING}
        empty = [slot for slot in range(len(self._slots)) if slot not in filled]
        if empty:
            return [slot for slot in empty if self._slots[slot].start_at_seconds <= now_seconds]
        return self._slot_to_renew()

    def workers_to_dismiss(self) -> list[int]:
        """Old workers whose successor serves."""
        renewed = {worker.slot for worker in self._serving() if not worker.outdated}
        return [
            number
            for number, worker in self._workers.items()
            if worker.outdated and worker.stage is Stage.SERVING and worker.slot in renewed
        ]

    def seconds_to_next(self) -> float | None:
        """When a wait of a slot is over, or None."""
        now_seconds = self._clock.monotonic()
        waits = [slot.start_at_seconds - now_seconds for slot in self._slots]
        return min((wait for wait in waits if wait > 0), default=None)

    def start(self, number: int, slot: int) -> None:
        """``number`` is being started."""
        self._workers[number] = _Worker(slot)

    def serve(self, number: int) -> None:
        """``number`` serves."""
        worker = self._workers[number]
        if worker.stage is Stage.STARTING:
            worker.stage = Stage.SERVING
            worker.serving_since_seconds = self._clock.monotonic()
            self._has_served = True

    def leave(self, number: int) -> None:
        """``number`` takes no new work and will end."""
        self._workers[number].stage = Stage.LEAVING
        self._workers[number].outdated = False

    def end(self, number: int, status: int) -> End:
        """``number`` has ended with ``status``; what that means."""
        worker = self._workers.pop(number)
        if self._stopping or worker.stage is Stage.LEAVING:
            return End.EXPECTED
        if not self._has_served:
            self.gives_up = True
            return End.FAILED_START
        succeeds = any(other.slot == worker.slot for other in self._serving())
        if worker.stage is Stage.STARTING and succeeds:
            self._end_renewal()
            return End.FAILED_RENEWAL
        if worker.stage is Stage.SERVING and status == 0:
            return End.EXPECTED
        self._count_end(worker)
        return End.CRASH if worker.stage is Stage.SERVING else End.FAILED_START

    def renew(self) -> None:
        """Replace every worker by a new one, one after the other."""
        for worker in self._workers.values():
            worker.outdated = self._has_served and worker.stage is not Stage.LEAVING

    def stop(self) -> list[int]:
        """Start nobody any more; returns those that are just starting."""
        self._stopping = True
        return [number for number, worker in self._workers.items() if worker.stage is Stage.STARTING]

    def _serving(self) -> list[_Worker]:
        return [worker for worker in self._workers.values() if worker.stage is Stage.SERVING]

    def _slot_to_renew(self) -> list[int]:
        is_under_way = any(worker.stage is not Stage.SERVING for worker in self._workers.values())
        if is_under_way or self.workers_to_dismiss():
            return []
        return sorted(worker.slot for worker in self._serving() if worker.outdated)[:1]

    def _end_renewal(self) -> None:
        for worker in self._workers.values():
            worker.outdated = False

    def _count_end(self, worker: _Worker) -> None:
        slot, options = self._slots[worker.slot], self._options
        slot.early_ends = 0 if self._is_steady(worker) else slot.early_ends + 1
        wait_seconds = 0.0
        if slot.early_ends:
            doubled = options.back_off_seconds * 2.0 ** (slot.early_ends - 1)
            wait_seconds = min(options.back_off_limit_seconds, doubled)
        slot.start_at_seconds = self._clock.monotonic() + wait_seconds
        steady = {other.slot for other in self._serving() if self._is_steady(other)}
        self.gives_up = not steady and all(one.early_ends >= options.early_ends for one in self._slots)

    def _is_steady(self, worker: _Worker) -> bool:
        served_seconds = self._clock.monotonic() - worker.serving_since_seconds
        return worker.stage is Stage.SERVING and served_seconds >= self._options.steady_seconds
