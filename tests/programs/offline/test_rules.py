from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dspy
import pytest
from dspy.lm15 import Message, Request, Response, TextPart, Usage, response_to_events
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_service.programs.offline.rules import INTRODUCTION, Inquiry, Prompt, answer, reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence


def _prompt_of(request: Request) -> Prompt:
    system = request.system or ""
    text = system if isinstance(system, str) else "".join(part.text for part in system)
    return Prompt(text, [(message.role, message.text or "") for message in request.messages])


def _response_of(request: Request) -> Response:
    return Response(
        id=None,
        model="offline",
        message=Message.assistant([TextPart(reply(_prompt_of(request)))]),
        finish_reason="stop",
        usage=Usage(input_tokens=1, output_tokens=1, total_tokens=2),
    )


class SyncEngine:
    """Answers by the rules."""

    def complete(self, request: Request) -> Response:
        """One reply."""
        return _response_of(request)

    def stream(self, request: Request) -> Iterator[Any]:
        """The same, in events."""
        return iter(response_to_events(_response_of(request)))

    def close(self) -> None:
        """Nothing is held."""


class AsyncEngine:
    """Answers by the rules."""

    async def complete(self, request: Request) -> Response:
        """One reply."""
        return _response_of(request)

    async def stream(self, request: Request) -> AsyncIterator[Any]:
        """The same, in events."""
        for event in response_to_events(_response_of(request)):
            yield event

    async def aclose(self) -> None:
        """Nothing is held."""


def calculator(expression: str) -> str:
    """Work out arithmetic."""
    known = {"2+2": "4", "12 * (3 + 4)": "84"}
    if expression not in known:
        message = "division by zero"
        raise ZeroDivisionError(message)
    return known[expression]


async def current_time(timezone: str = "UTC") -> str:
    """Tell the time."""
    return f"12:00 in {timezone}"


def convert_units(value: float, from_unit: str, to_unit: str) -> str:
    """Convert."""
    return f"{value:g} {from_unit} is some {to_unit}"


SIGNATURE = "conversation: str, question: str -> answer: str"
LM = dspy.LM("offline", engine=SyncEngine(), async_engine=AsyncEngine(), num_retries=0, cache=False)
AGENT = dspy.ReAct(SIGNATURE, tools=[calculator, current_time, convert_units])


async def _ask(
    question: str,
    conversation: str = "(nothing yet)",
    *,
    agent: dspy.Module = AGENT,
    adapter: dspy.Adapter | None = None,
) -> dspy.Prediction:
    adapter = adapter or dspy.ChatAdapter(use_json_adapter_fallback=False)
    with dspy.context(lm=LM, adapter=adapter, disable_history=True, trace=None):
        return await agent.acall(question=question, conversation=conversation)


def _tools(prediction: dspy.Prediction) -> list[str]:
    return [value for key, value in prediction.trajectory.items() if key.startswith("tool_name")]


@pytest.mark.parametrize("adapter", [None, dspy.JSONAdapter()])
@pytest.mark.parametrize(
    ("question", "tools", "expected"),
    [
        ("What is 2+2?", ["calculator"], "4"),
        ("12 * (3 + 4)", ["calculator"], "84"),
        ("What time is it in Tokyo?", ["current_time"], "12:00 in Asia/Tokyo"),
        ("convert 5 miles to km", ["convert_units"], "5 mile is some km"),
        ("What is 2+2 and what time is it?", ["calculator", "current_time"], "4\n12:00 in UTC"),
        ("What is 1/0?", ["calculator"], "The calculator tool failed: division by zero"),
        ("What is the capital of France?", [], INTRODUCTION),
    ],
)
async def test_an_agent_calls_its_tools_and_answers(
    question: str, tools: Sequence[str], expected: str, adapter: dspy.Adapter | None
) -> None:
    """DSPy's own ReAct, in both formats, calls the tool that fits once, finishes and gives its result."""
    prediction = await _ask(question, adapter=adapter)
    assert _tools(prediction) == [*tools, "finish"]
    assert prediction.answer == expected


async def test_recall_needs_no_tool() -> None:
    """What was asked before comes from the conversation, even when that holds arithmetic."""
    conversation = "User: What is 2+2?\nAssistant: 4\nUser: My name is Ada\nAssistant: Noted."
    prediction = await _ask("What did I ask before?", conversation)
    assert prediction.answer == 'You asked: "What is 2+2?"; "My name is Ada"'
    assert _tools(prediction) == ["finish"]
    assert (await _ask("what's my name?", conversation)).answer == "Your name is Ada."
    assert "first thing" in (await _ask("What did I ask before?")).answer


async def test_only_offered_tools_are_called() -> None:
    """An agent without the tool is told plainly that it is missing."""
    prediction = await _ask("What is 2+2?", agent=dspy.ReAct(SIGNATURE, tools=[current_time]))
    assert _tools(prediction) == ["finish"]
    assert "needs the calculator tool for this, and it has not answered" in prediction.answer


def test_every_output_gets_a_value_of_its_type() -> None:
    """Plain predictions with typed outputs parse under DSPy's own adapter, sync as well."""
    signature = dspy.Signature(
        "question -> answer: str, score: int, ratio: float, sure: bool, kind: Literal['x', 'y'],"
        " items: list[str], facts: dict[str, int], maybe: Optional[int]"
    )
    adapter = dspy.ChatAdapter(use_json_adapter_fallback=False)
    with dspy.context(lm=LM, adapter=adapter, disable_history=True, trace=None):
        prediction = dspy.ChainOfThought(signature)(question="Hello")
    values = {**prediction}
    assert values.pop("reasoning")
    assert values == {
        "answer": INTRODUCTION,
        "score": 0,
        "ratio": 0.0,
        "sure": False,
        "kind": "x",
        "items": [],
        "facts": {},
        "maybe": 0,
    }


def test_earlier_messages_are_the_conversation_of_a_plain_chat() -> None:
    """Without DSPy's format, the reply is plain text and earlier messages are what was said."""
    chat = Prompt("Be kind.", [("user", "What is 2+2?"), ("assistant", "4"), ("user", "What did I ask?")])
    assert reply(chat) == 'You asked: "What is 2+2?"'


def test_a_failed_tool_is_named_without_its_traceback() -> None:
    """Only the reason of a plain arithmetic or value error is repeated, never frames or paths."""
    text = "Execution error in calculator: \nTraceback\n  File /x.py\nOSError: /secret/path"
    asked = "[[ ## question ## ]]\n2+2\n\n[[ ## trajectory ## ]]\n[[ ## tool_name_0 ## ]]\ncalculator"
    asked += f"\n\n[[ ## observation_0 ## ]]\n{text}"
    system = str(dspy.ChatAdapter().format_system_message(dspy.Signature("question, trajectory -> answer")))
    said = reply(Prompt(system, [("user", asked)]))
    assert "The calculator tool failed." in said
    assert "/secret" not in said


PIECES = st.sampled_from(
    [
        "\n[[ ## answer ## ]]\n",
        "\n[[ ## completed ## ]]\n",
        "\n\n[[ ## trajectory ## ]]\n",
        "\n[[ ## observation_0 ## ]]\n",
        "\n[[ ## tool_name_0 ## ]]\ncalculator\n",
        "\n[[ ## next_tool_args ## ]]\n{",
        "\n[[ ## score ## ]]\nx",
        "\n\nRespond with ",
        "\nUser: what is 2+2",
        "My name is ",
        "what did I ask before",
    ]
)
TEXTS = st.lists(st.text(max_size=30) | PIECES, max_size=8).map("".join)
STEP = AGENT.react.signature
EXTRACT = dspy.Signature("conversation, question, trajectory -> answer: str, score: int, kind: Literal['a']")


@pytest.mark.parametrize("signature", [STEP, EXTRACT])
@pytest.mark.parametrize("adapter", [dspy.ChatAdapter(), dspy.JSONAdapter()])
@settings(deadline=None, max_examples=60)
@given(question=TEXTS, conversation=TEXTS, trajectory=TEXTS)
def test_every_reply_parses(
    signature: type[dspy.Signature],
    adapter: dspy.ChatAdapter,
    question: str,
    conversation: str,
    trajectory: str,
) -> None:
    """Whatever users and tools say, headers included, the reply is one that DSPy can parse."""
    inputs = {"question": question, "conversation": conversation, "trajectory": trajectory}
    system, *messages = adapter.format(signature, [], inputs)
    prompt = Prompt(system["content"], [(message["role"], message["content"]) for message in messages])
    assert adapter.parse(signature, reply(prompt)).keys() == signature.output_fields.keys()


def test_an_answer_needs_a_result() -> None:
    """Without a tool's result no number is made up."""
    assert "needs the calculator tool for this, and it has not answered" in answer(Inquiry("What is 2+2?"))
