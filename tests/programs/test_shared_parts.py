"""What programs have in common is opened and closed once."""

from __future__ import annotations

import asyncio

import pytest

from agent_service.programs.base import LMOptions
from agent_service.programs.lm.upstreams import Upstreams
from agent_service.programs.shared_parts import SharedParts
from agent_service.programs.threads import LoopBridge, WorkThreads


class CountedUpstreams(Upstreams):
    """Counts how often it is warmed and closed."""

    warmed = closed = 0

    async def warm(self) -> None:
        """Count."""
        self.warmed += 1

    async def aclose(self) -> None:
        """Count."""
        self.closed += 1


async def test_each_happens_once() -> None:
    """However many programs start and end; afterwards no thread takes work and no loop is there."""
    bridge = LoopBridge()
    upstreams = CountedUpstreams(make_seam=lambda *_: None, options=LMOptions(), bridge=bridge)  # type: ignore[arg-type] # never called
    threads = WorkThreads("program", size=1)
    parts = SharedParts(
        upstreams=upstreams, threads=threads, tool_threads=WorkThreads("tool", size=1), bridge=bridge
    )

    await asyncio.gather(parts.start(), parts.start())
    assert bridge.on_service_loop()
    await parts.close()
    await parts.close()

    assert (upstreams.warmed, upstreams.closed) == (1, 1)
    assert not bridge.on_service_loop()
    with pytest.raises(RuntimeError):
        threads._executor.submit(print)  # noqa: SLF001 - nothing else tells that they are closed
