"""An agent with asynchronous tools: they wait on the event loop, so that thousands may wait at once."""

from __future__ import annotations

import asyncio

import dspy

_TRAINS = {
    ("berlin", "hamburg"): ["08:38", "10:38", "12:38"],
    ("hamburg", "berlin"): ["09:06", "11:06", "13:06"],
}
_PRICES_EUR = {"08:38": 39.90, "10:38": 55.90, "12:38": 29.90, "09:06": 39.90, "11:06": 19.90, "13:06": 45.90}


async def departures(start: str, destination: str) -> list[str]:
    """Times at which trains leave ``start`` for ``destination`` today."""
    await asyncio.sleep(0.01)  # where a timetable would be asked
    return _TRAINS.get((start.lower(), destination.lower()), [])


async def price(departure: str) -> str:
    """What a ticket for the train that leaves at ``departure`` costs."""
    await asyncio.sleep(0.01)
    if departure not in _PRICES_EUR:
        raise ValueError(f"no train leaves at {departure}")
    return f"{_PRICES_EUR[departure]:.2f} EUR"


class Travel(dspy.Signature):
    """Help to plan a journey by train."""

    conversation: str = dspy.InputField(desc="what was said before")
    question: str = dspy.InputField()
    answer: str = dspy.OutputField()


program = dspy.ReAct(Travel, tools=[departures, price], max_iters=6)
