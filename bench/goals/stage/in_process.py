"""The service's program, wired as the service wires it, without the service around it.

    python -m bench.goals.stage.in_process CLIENTS SECONDS

Prints a JSON object: queries, seconds and processor seconds. Settings come from the environment.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time

import orjson
import uvloop

from agent_service.bootstrap.program import build_programs
from agent_service.config import Settings
from agent_service.core.clock import Deadline, SystemClock
from agent_service.core.messages import Turn
from agent_service.core.observer import Observers
from agent_service.core.run import Run
from bench.goals.stage.lm_stub import ANSWER

_WARM_UP_SECONDS = 2.0


async def _drive(clients: int, seconds: float) -> dict[str, float]:
    settings, clock, observer = Settings.load(os.environ), SystemClock(), Observers()
    program = build_programs(settings, clock=clock, observer=observer)[0]
    turns = [Turn(str(n), f"What is {n}+{n}?", ANSWER, 0.0) for n in range(settings.memory_context_turns)]
    answered = 0

    async def client(number: int, end: float) -> None:
        nonlocal answered
        asked = 0
        while time.perf_counter() < end:
            deadline = Deadline.after(clock, settings.agent_request_timeout_secs)
            run = Run(request_id="bench", deadline=deadline, clock=clock, observer=observer)
            with run.stopped_at_deadline():
                await program.run(run, {"question": f"What is {asked}+{number}?"}, turns)
                run.complete()
            asked += 1
            answered += 1

    async def load(for_seconds: float) -> None:
        end = time.perf_counter() + for_seconds
        await asyncio.gather(*(client(number, end) for number in range(clients)))

    await program.start()
    await load(_WARM_UP_SECONDS)
    answered, began, cpu_began = 0, time.perf_counter(), time.process_time()
    await load(seconds)
    found = {
        "queries": answered,
        "seconds": time.perf_counter() - began,
        "cpu_seconds": time.process_time() - cpu_began,
    }
    await program.close()
    return found


if __name__ == "__main__":
    sys.stdout.write(orjson.dumps(uvloop.run(_drive(int(sys.argv[1]), float(sys.argv[2])))).decode())
