from __future__ import annotations

import os
import select
import signal

from agent_service.server.workers.signal_pipe import SignalPipe


def test_signals_are_read_in_order_and_do_nothing_else() -> None:
    """A process without an event loop waits for them together with everything else."""
    with SignalPipe((signal.SIGHUP, signal.SIGUSR1)) as pipe:
        assert pipe.received() == []
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGUSR1)
        assert select.select([pipe], [], [], 5.0)[0] == [pipe]
        assert pipe.received() == [signal.SIGHUP, signal.SIGUSR1]
        assert pipe.received() == []


def test_afterwards_everything_is_as_before() -> None:
    """Handlers and the wakeup descriptor are given back."""
    before = signal.getsignal(signal.SIGUSR1)
    with SignalPipe((signal.SIGUSR1,)):
        assert signal.getsignal(signal.SIGUSR1) is not before
    assert signal.getsignal(signal.SIGUSR1) is before
    assert signal.set_wakeup_fd(-1) == -1
