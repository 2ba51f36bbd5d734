"""Reading a prompt the way DSPy's ChatAdapter and JSONAdapter write it (dspy/adapters/chat_adapter.py)."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

TRAJECTORY = "trajectory"
CONVERSATION = "conversation"

_LISTED_FIELD = re.compile(r"^([0-9]{1,3})\. `(\w+)` \((.*?)\):", re.MULTILINE)
_NOTE = re.compile(r"^\{(\w+)\} +# note: the value you produce (.*)$", re.MULTILINE)
_REMINDER = "\n\nRespond with "
_BARE_REMINDERS = (
    "Respond with the corresponding output fields",
    "Respond with a JSON object in the following",
)
_JSON_OUTPUTS = "\nOutputs will be a JSON object with the following fields.\n"
_STEP_HEADER = re.compile(
    r"^\[\[ ## (thought|tool_name|tool_args|observation)_([0-9]{1,4}) ## \]\]$", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Step:
    """A tool call that was made, and what came of it."""

    tool: str
    observation: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """Chat messages as text.

    Attributes:
        system: the system text.
        messages: ``(role, text)`` in order, the newest last.
        steps: tool calls that the messages carry beside their text (native function calling).
    """

    system: str
    messages: Sequence[tuple[str, str]]
    steps: Sequence[Step] = ()

    @property
    def request(self) -> str:
        """The text of the last message that asks something; empty when there is none."""
        return next((text for role, text in reversed(self.messages) if is_request(role, text)), "")

    @property
    def before_request(self) -> Sequence[tuple[str, str]]:
        """The messages before the last one that asks something."""
        asking = (index for index, message in enumerate(self.messages) if is_request(*message))
        return self.messages[: max(asking, default=0)]


@dataclass(frozen=True, slots=True)
class OutputField:
    """A value the reply must hold: its name, its type as DSPy prints it, and DSPy's note about it."""

    name: str
    type_name: str
    note: str = ""


def is_request(role: str, text: str) -> bool:
    """Whether a message asks something; after tool results DSPy's agents send the reminder alone."""
    return role == "user" and not text.startswith(_BARE_REMINDERS)


def input_names(system: str) -> tuple[str, ...]:
    """The names of the input fields, in order; empty when this is no DSPy prompt."""
    return tuple(name for name, _ in _listed(system, "Your input fields are:\n", "\nYour output fields are:"))


def output_fields(system: str) -> tuple[OutputField, ...]:
    """The fields a reply must fill, in order; empty when this is no DSPy prompt."""
    notes = _notes(system)
    listed = _listed(system, "Your output fields are:\n", "\nAll interactions will be structured")
    return tuple(OutputField(name, type_name, notes.get(name, "")) for name, type_name in listed)


def wants_json(system: str) -> bool:
    """Whether the reply must be a JSON object instead of marked sections."""
    return _JSON_OUTPUTS in _structure(system)


def input_values(names: Sequence[str], text: str) -> dict[str, str]:
    """The input fields of one user message, by name.

    The text of a field may hold lines that look like headers. The first header that follows the
    field before it counts; of the trajectory, which comes last, the last one counts.
    """
    body = f"\n{text.rpartition(_REMINDER)[0] or text}\n"
    found: list[tuple[str, int, int]] = []
    position = 0
    for name in names:
        header = f"\n[[ ## {name} ## ]]\n"
        start = body.rfind(header, position) if name == TRAJECTORY else body.find(header, position)
        if start >= 0:
            position = start + len(header) - 1
            found.append((name, start, position))
    ends = [start for _, start, _ in found[1:]] + [len(body)]
    return {name: body[after:end].strip() for (name, _, after), end in zip(found, ends, strict=False)}


def trajectory_steps(trajectory: str) -> tuple[Step, ...]:
    """The finished tool calls of a ReAct trajectory, oldest first."""
    headers = list(_STEP_HEADER.finditer(trajectory))
    ends = [header.start() for header in headers[1:]] + [len(trajectory)]
    parts: dict[tuple[str, int], str] = {}
    for header, end in zip(headers, ends, strict=False):
        parts.setdefault((header[1], int(header[2])), trajectory[header.end() : end].strip())
    return tuple(
        Step(tool, parts["observation", index])
        for (kind, index), tool in sorted(parts.items(), key=lambda part: part[0][1])
        if kind == "tool_name" and ("observation", index) in parts
    )


def _listed(system: str, start: str, end: str) -> list[tuple[str, str]]:
    """Name and type of the numbered fields; a description may hold look-alikes, out of sequence."""
    listed: list[tuple[str, str]] = []
    for match in _LISTED_FIELD.finditer(system.partition(start)[2].partition(end)[0]):
        if int(match[1]) == len(listed) + 1:
            listed.append((match[2], match[3]))
    return listed


def _structure(system: str) -> str:
    """The part of the system text that shows the format of a reply."""
    shown = system.partition("\nAll interactions will be structured")[2]
    return shown.partition("\nIn adhering to this structure")[0]


def _notes(system: str) -> dict[str, str]:
    """DSPy's remark on each value that is not plain text."""
    structure = _structure(system)
    shown = structure.partition(_JSON_OUTPUTS)[2]
    if shown:
        try:
            structure = "\n".join(str(value) for value in json.loads(shown).values())
        except (ValueError, AttributeError):  # an author's own text looks like DSPy's
            return {}
    return dict(_NOTE.findall(structure))
