"""``agent-service simulate-lm``: an OpenAI-compatible server that pretends to be a language model."""

from __future__ import annotations

import click


@click.command("simulate-lm")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    default=4000,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Port to listen on, 0 for a free one.",
)
@click.option(
    "--latency",
    default=0.0,
    show_default=True,
    type=click.FloatRange(0.0),
    metavar="SECONDS",
    help="Wait before each answer.",
)
@click.option(
    "--fault",
    "kinds",
    multiple=True,
    metavar="KIND",
    help="What goes wrong: a status from 400 to 599, or a kind such as hang or reset. May be repeated.",
)
@click.option(
    "--fault-rate",
    default=1.0,
    show_default=True,
    type=click.FloatRange(0.0, 1.0),
    metavar="SHARE",
    help="Share of requests that each fault happens to, from 0 to 1.",
)
def simulate_lm(host: str, port: int, latency: float, kinds: tuple[str, ...], fault_rate: float) -> None:
    """Pretend to be a language model, for tests and load tests without a provider."""
    from agent_service.simulator.behaviour import Fault
    from agent_service.simulator.server import run_simulator

    try:
        faults = [Fault(kind, rate=fault_rate) for kind in kinds]
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--fault") from error
    try:
        run_simulator(host=host, port=port, latency_seconds=latency, faults=faults)
    except OSError as error:
        raise click.ClickException(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
