"""``agent-service bench``: measure the service under load, alone or beside the same program on FastAPI."""

from __future__ import annotations

import asyncio
import json
import math
import os
import random
import signal
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from agent_service.cli.trust import ca_file_option, trust_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent_service.loadtest.bench import Bench, BenchOptions
    from agent_service.loadtest.load import Load
    from agent_service.loadtest.stage.stage import StageOptions

_INTERRUPTED = 130
_DEFAULT_SECONDS = 10.0
_DEFAULT_CLIENTS = 32
_ROUNDS_OF_COMPARISON = 3
_EXTRA = "production-agent-service[bench]"
_PARAMETERS = {"compare": "baselines"}
_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SUFFIXES = (".png", ".svg", ".pdf")


def _numbers(kind: type[int | float]) -> Callable[[click.Context, click.Parameter, str | None], Any]:
    """Reads numbers above 0 with commas between them."""

    def read(_: click.Context, __: click.Parameter, value: str | None) -> tuple[float, ...]:
        if value is None:
            return ()
        try:
            numbers = tuple(kind(part) for part in value.split(","))
        except ValueError:
            numbers = ()
        if not numbers or not all(0 < number < math.inf for number in numbers):
            raise click.BadParameter(f"{value!r} is not numbers above 0 with commas between them")
        return numbers

    return read


@click.command(epilog="Exit status: 0 measured, 1 could not measure, 2 wrong usage, 130 stopped by Ctrl-C.")
@click.option("--url", metavar="URL", help="Measure a service that runs already, instead of starting one.")
@click.option("--key", metavar="KEY", envvar="AGENT_SERVICE_KEY", show_envvar=True, help="Its API key.")
@ca_file_option
@click.option("--model", metavar="MODEL", help="A real language model, instead of the simulated one.")
@click.option("--program", metavar="MODULE:ATTRIBUTE", help="What is served; instead of AGENT_PROGRAM.")
@click.option(
    "--question",
    default="What is {n} * 17?",
    show_default=True,
    help="What is asked; {n} becomes the number of the query.",
)
@click.option(
    "--concurrency",
    callback=_numbers(int),
    metavar="N[,N...]",
    help="Closed loop: N clients, each sends its next query when the one before is answered. Several numbers "
    "are measured one after the other.  [default: 32]",
)
@click.option(
    "--rate",
    callback=_numbers(float),
    metavar="Q[,Q...]",
    help="Open loop instead: Q queries a second, whether answered or not, as independent users send them. "
    "Latency counts from the time a query was meant to be sent, so that a stall is charged to each query it "
    "delays (no coordinated omission).",
)
@click.option(
    "--spacing",
    type=click.Choice(["poisson", "even"]),
    default="poisson",
    show_default=True,
    help="How queries at a --rate follow each other.",
)
@click.option(
    "--duration",
    type=click.FloatRange(0, min_open=True),
    metavar="SECONDS",
    help="How long each load is put on each server.  [default: 10]",
)
@click.option("--queries", type=click.IntRange(1), help="How many queries instead, or at most.")
@click.option(
    "--rounds",
    type=click.IntRange(1),
    help="Into how many rounds that is divided; compared servers take turns.  [default: 1, with --compare 3]",
)
@click.option(
    "--warm-up",
    type=click.FloatRange(0),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="How long each server is used before anything is measured.",
)
@click.option(
    "--latency",
    type=click.FloatRange(0),
    default=0.0,
    show_default=True,
    metavar="MS",
    help="How long the simulated model takes for each call.",
)
@click.option(
    "--simulators",
    type=click.IntRange(1, 64),
    help="Processes of the simulated model, should they be too slow.  [default: cores less 2, from 1 to 4]",
)
@click.option(
    "--compare",
    "baselines",
    multiple=True,
    type=click.Choice(["tutorial", "acall"]),
    help="Measure the same program under FastAPI and uvicorn too, as DSPy's deployment tutorial serves it "
    "(dspy.asyncify) or with `await program.acall`. May be given twice.",
)
@click.option("--pin", is_flag=True, help="Hold each server on one core and keep the rest off it (Linux).")
@click.option(
    "--json", "json_file", type=click.File("w", lazy=True), metavar="FILE", help="Write JSON; - is stdout."
)
@click.option(
    "--plot",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Draw latency and throughput over load, or over time for a single load (.png, .svg, .pdf).",
)
@click.pass_context
def bench(context: click.Context, /, json_file: TextIO | None, plot: Path | None, **given: Any) -> None:
    """Measure throughput, latency, CPU and memory of the service under load.

    Starts a simulated language model and the service, with the settings of the environment and of .env, asks
    one question of each of very many users and says how it went. Percentiles are exact and of answers only;
    errors are counted by code. CPU and memory are those of the service's processes and unknown with --url.
    """
    _check(plot, **given)
    from agent_service.loadtest.stage.process import StageError

    for number in _STOPS:
        signal.signal(number, signal.default_int_handler)
    try:
        done, interrupted = _measured(_stage_options(**given), _bench_options(**given))
    except StageError as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        context.exit(_INTERRUPTED)
    _tell(done, json_file, plot, settings=given, interrupted=interrupted)
    context.exit(_INTERRUPTED if interrupted else 0)


def _check(plot: Path | None, **given: Any) -> None:
    """Refuse what does not go together, and what is not installed.

    Raises:
        click.ClickException: with one line that says what to do.
    """
    apart = [("concurrency", "rate")]
    apart += [("url", name) for name in ("model", "program", "compare", "latency", "simulators", "pin")]
    apart += [("model", "latency")]
    for one, other in apart:
        if given[one] and given[_PARAMETERS.get(other, other)]:
            raise click.UsageError(f"--{one} and --{other} exclude each other")
    if given["pin"] and (not sys.platform.startswith("linux") or len(os.sched_getaffinity(0)) < 2):  # noqa: PLR2004 - two cores
        raise click.UsageError("--pin needs Linux and two cores")
    if plot is not None and plot.suffix not in _SUFFIXES:
        raise click.UsageError(f"--plot writes {', '.join(_SUFFIXES)}, not {plot.name}")
    needed = {"aiohttp": True, "psutil": True, "tqdm": True}
    needed |= {"matplotlib": plot is not None, "fastapi": bool(given["baselines"])}
    missing = [name for name, is_needed in needed.items() if is_needed and find_spec(name) is None]
    if missing:
        raise click.ClickException(f"this needs {', '.join(missing)}: pip install '{_EXTRA}'")


def _stage_options(**given: Any) -> StageOptions:
    from agent_service.loadtest.stage.stage import StageOptions

    same = ("url", "key", "model", "program", "question", "pin", "baselines")
    return StageOptions(
        **{name: given[name] for name in same},
        simulators=given["simulators"] or min(4, max(1, (os.cpu_count() or 1) - 2)),
        latency_seconds=given["latency"] / 1000,
        trust=trust_of(given["ca_file"]),
    )


def _bench_options(**given: Any) -> BenchOptions:
    from agent_service.loadtest.bench import BenchOptions
    from agent_service.loadtest.load import ClosedLoop, Extent, OpenLoop

    loads: tuple[Load, ...]
    if given["rate"]:
        loads = tuple(OpenLoop(rate, given["spacing"]) for rate in given["rate"])
    else:
        loads = tuple(ClosedLoop(number) for number in given["concurrency"] or (_DEFAULT_CLIENTS,))
    queries = given["queries"] or math.inf
    default_seconds = _DEFAULT_SECONDS if given["queries"] is None else math.inf
    default_rounds = _ROUNDS_OF_COMPARISON if given["baselines"] else 1
    return BenchOptions(
        loads=loads,
        extent=Extent(given["duration"] or default_seconds, queries),
        rounds=given["rounds"] or default_rounds,
        warm_up_seconds=given["warm_up"],
    )


def _measured(stage_options: StageOptions, options: BenchOptions) -> tuple[Bench, bool]:
    """The bench after it ran, and whether it was interrupted."""
    import uvloop

    from agent_service.core.clock import SystemClock
    from agent_service.loadtest.bench import Bench
    from agent_service.loadtest.progress import ProgressBar
    from agent_service.loadtest.stage.stage import Stage

    click.echo("Starting ...", err=True)
    with Stage(stage_options) as stage:
        done = Bench(
            servers=stage.servers,
            model=stage.model,
            options=options,
            progress=ProgressBar(sys.stderr),
            clock=SystemClock(),
            random=random.Random(),
        )
        return done, uvloop.run(_interruptible(done))


async def _interruptible(done: Bench) -> bool:
    """Run it until its end or a signal; whether it was a signal."""
    running = asyncio.ensure_future(done.run())
    loop = asyncio.get_running_loop()
    for number in _STOPS:
        loop.add_signal_handler(number, running.cancel)
    await asyncio.wait({running})
    if running.cancelled():
        return True
    running.result()
    return False


def _tell(
    done: Bench, json_file: TextIO | None, plot: Path | None, *, settings: dict[str, Any], interrupted: bool
) -> None:
    from agent_service.loadtest.report import text_of
    from agent_service.loadtest.report_json import json_of

    summaries = done.summaries()
    stdout_is_json = json_file is not None and json_file.name == "-"
    click.echo(text_of(summaries), err=stdout_is_json)
    if json_file is not None:
        shown = {name: value for name, value in settings.items() if name != "key"}
        told = json_of(summaries, settings=shown, interrupted=interrupted)
        json_file.write(json.dumps(told, indent=2) + "\n")
    if plot is not None and summaries:
        from agent_service.loadtest.plot import plot as draw

        try:
            draw(done.rounds, plot)
        except OSError as error:
            raise click.ClickException(f"cannot write {plot}: {error.strerror or error}") from error
