"""Two services on one store, killed, frozen and cut off: is any promise about histories broken?

    .venv/bin/python -m bench.history_check --store redis --turns 10000 --seed 1

It ends with status 1 when one is. 10 000 turns take about four minutes. See docs/reliability.md.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from pathlib import Path

from tqdm import tqdm

from bench.history_report import plot, summary, to_json
from bench.history_run import Plan, Result, carry_out


def main() -> int:
    """Run it from the command line."""
    options = _options()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)  # so that nothing it started is left behind
    result = _run(_plan(options))
    print(summary(result))
    if options.json:
        options.json.write_text(json.dumps(to_json(result), indent=1))
    if options.plot:
        plot(result, options.plot)
    return 1 if result.violations else 0


def _run(plan: Plan) -> Result:
    with tqdm(total=plan.turns, unit="turn", smoothing=0.05) as bar:

        def show(turns: int, kills: int) -> None:
            bar.set_postfix_str(f"{kills} kills", refresh=False)
            bar.update(turns - bar.n)

        return asyncio.run(carry_out(plan, on_progress=show))


def _plan(options: argparse.Namespace) -> Plan:
    return Plan(**{name: value for name, value in vars(options).items() if name not in {"json", "plot"}})


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--store", choices=("sqlite", "redis"), required=True, help="what both services share"
    )
    parser.add_argument("--turns", type=int, default=Plan.turns, help="acknowledged, at least (%(default)s)")
    parser.add_argument("--kills", type=int, default=Plan.kills, help="at least (%(default)s)")
    parser.add_argument("--clients", type=int, default=Plan.clients, help="at once (%(default)s)")
    parser.add_argument("--conversations", type=int, default=Plan.conversations, help="(%(default)s)")
    parser.add_argument("--seed", type=int, default=Plan.seed, help="of clients and faults (%(default)s)")
    parser.add_argument(
        "--fsync", choices=("always", "everysec"), default=Plan.fsync, help="of Redis (%(default)s)"
    )
    parser.add_argument(
        "--policy",
        choices=("serialize", "parallel"),
        default=Plan.policy,
        help="for two questions at once in one conversation (%(default)s)",
    )
    parser.add_argument(
        "--keyed-share",
        type=float,
        default=Plan.keyed_share,
        help="of the questions, with an Idempotency-Key (%(default)s)",
    )
    parser.add_argument(
        "--max-seconds", type=float, default=Plan.max_seconds, help="ask nothing after (%(default)s)"
    )
    parser.add_argument("--json", type=Path, help="write figures and violations here")
    parser.add_argument("--plot", type=Path, help="draw the run here (.svg or .png)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
