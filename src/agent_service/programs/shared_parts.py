"""What the programs of one service have in common: their models, their threads, the way to the loop."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent_service.programs.lm.upstreams import Upstreams
    from agent_service.programs.mcp.servers import McpServers
    from agent_service.programs.threads import LoopBridge, WorkThreads

_EXECUTOR_THREADS = 32


class SharedParts:
    """Started with the first program and closed with the first that ends; once each.

    Args:
        upstreams: the language models: programs that name the same one share its breaker and its limit.
        threads: where modules without ``aforward`` work.
        tool_threads: where their tools do.
        bridge: the way from these threads to the event loop.
        mcp: the servers whose tools the programs were given, if any.
    """

    def __init__(
        self,
        *,
        upstreams: Upstreams,
        threads: WorkThreads,
        tool_threads: WorkThreads,
        bridge: LoopBridge,
        mcp: McpServers | None = None,
    ) -> None:
        self.upstreams = upstreams
        self.threads = threads
        self._tool_threads = tool_threads
        self._bridge = bridge
        self._mcp = mcp
        self._is_started = self._is_closed = False

    def __repr__(self) -> str:
        return f"<SharedParts {self.upstreams!r}>"

    async def start(self) -> None:
        """Attach to the running loop and look up what the models can do."""
        if self._is_started:
            return
        self._is_started = True
        self._bridge.attach()
        # DSPy hops to the default executor several times per LM call; the default size starves it.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_EXECUTOR_THREADS, "dspy"))
        await self.upstreams.warm()
        if self._mcp is not None:
            await self._mcp.start()

    async def close(self) -> None:
        """Close connections and threads."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._mcp is not None:
            await self._mcp.close()
        self.threads.close()
        self._tool_threads.close()
        self._bridge.detach()
        await self.upstreams.aclose()
