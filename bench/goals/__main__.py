"""Each goal of the design, measured beside what it is compared with.

    .venv/bin/python -m bench.goals                        all rows, about a quarter of an hour
    .venv/bin/python -m bench.goals sqlite start --quick   some rows, rough figures within a minute or two

Nothing is judged but by the table; docs/performance.md says what is compared and how.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from bench.goals import footprint, overhead, saturation, throughput
from bench.goals.report import Failure, Report, plot, with_table
from bench.goals.rounds import QUICK, Plan
from bench.goals.stage.cores import Cores, pinned
from bench.goals.stage.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.goals.report import Figure

_DOCUMENT = Path(__file__).parents[2] / "docs" / "performance.md"
ROWS: dict[str, Callable[[Stage, Plan], list[Figure]]] = {
    "sqlite": throughput.sqlite,
    "redis": throughput.redis,
    "tutorial": throughput.tutorial,
    "overhead": overhead.overhead,
    "thousand": saturation.thousand,
    "liveness": saturation.liveness,
    "workers": throughput.workers,
    "memory": footprint.memory,
    "in-flight": footprint.in_flight,
    "start": footprint.start,
}


def main() -> None:
    """Run it from the command line; the exit status is 1 when a row could not be measured."""
    options = _options()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)  # so that nothing it started is left behind
    report = measure(options.rows or list(ROWS), QUICK if options.quick else Plan())
    print(report.text())
    if options.json:
        options.json.write_text(json.dumps(report.to_json(), indent=1))
    if options.plot:
        plot(report, options.plot)
    if options.docs:
        _DOCUMENT.write_text(with_table(_DOCUMENT.read_text(), report.markdown()))
    sys.exit(1 if report.failures else 0)


def measure(rows: Sequence[str], plan: Plan) -> Report:
    """Run the rows one after the other; one that cannot be measured does not keep the others from it."""
    cores = Cores()
    figures: list[Figure] = []
    failures: list[Failure] = []
    with pinned(cores.load), tqdm(rows, unit="row", position=0) as bar:
        for row in bar:
            bar.set_description(row)
            with tempfile.TemporaryDirectory(prefix="goals-") as folder, Stage(Path(folder), cores) as stage:
                try:
                    figures += ROWS[row](stage, plan)
                except (RuntimeError, OSError) as error:
                    failures.append(Failure(row, str(error)))
    return Report(figures, failures, asdict(plan))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.goals",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"some of {', '.join(ROWS)} (all)")
    parser.add_argument("--quick", action="store_true", help="one short round of each")
    parser.add_argument("--json", type=Path, help="write every figure here")
    parser.add_argument("--plot", type=Path, help="draw how far each goal is reached here (.svg or .png)")
    parser.add_argument(
        "--docs", action="store_true", help="put the table of all rows into docs/performance.md"
    )
    options = parser.parse_args()
    if options.docs and options.rows:
        parser.error("--docs takes all rows: the document has one table")
    if unknown := set(options.rows) - set(ROWS):
        parser.error(f"no such row: {', '.join(sorted(unknown))}")
    return options


if __name__ == "__main__":
    main()
