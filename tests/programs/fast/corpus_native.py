"""Cases: conversations, and tools that the model calls, natively and by text, with models of all kinds."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import dspy
from dspy import lm15

from tests.programs.conftest import response, said
from tests.programs.fast.corpus_agents import too_long
from tests.programs.fast.corpus_json import ABILITIES
from tests.programs.fast.corpus_tools import toolbox
from tests.programs.fast.corpus_types import Chat, Native
from tests.programs.fast.differential_case import Case, raising

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.programs.fast.differential_world import Stage

QA = "question -> answer"
Q = {"question": "q"}
TOOLS: dict[str, Any] = {"tools": True, "params": ("tools", "tool_choice", "response_format")}
ADAPTERS: dict[str, Callable[[], Any]] = {
    "chat": dspy.ChatAdapter,
    "chat, native": lambda: dspy.ChatAdapter(use_native_function_calling=True),
    "json": dspy.JSONAdapter,
    "json, by text": lambda: dspy.JSONAdapter(use_native_function_calling=False),
    "chat, parallel": lambda: dspy.ChatAdapter(use_native_function_calling=True, parallel_tool_calls=True),
}
CAN: dict[str, dict[str, Any]] = {
    "nothing": {},
    "tools": TOOLS,
    "tools and thoughts": {**TOOLS, "reasoning": True},
    "all": {**ABILITIES[3], "params": (*TOOLS["params"], "reasoning_effort")},
}
Call = tuple[str, dict[str, Any]]
"""A tool and its arguments."""


def settings(adapter: str) -> Callable[[Stage], Mapping[str, Any]]:
    """DSPy's, with the adapter of that name."""
    return lambda _: {"adapter": ADAPTERS[adapter]()}


def called(*calls: Call, text: str = "", thought: str = "") -> lm15.Response:
    """An answer that calls tools natively."""
    parts: list[Any] = [lm15.ThinkingPart(thought)] if thought else []
    parts += [lm15.TextPart(text)] if text else []
    parts += [
        lm15.ToolCallPart(id=f"id{number}", name=name, input=given)
        for number, (name, given) in enumerate(calls)
    ]
    reason = "tool_call" if calls else "stop"
    return response("", message=lm15.Message.assistant(parts), finish_reason=reason)


def told(*calls: Call, thought: str = "so", as_json: bool = False) -> str:
    """An answer that calls tools by text."""
    listed = {"tool_calls": [{"name": name, "args": given} for name, given in calls]}
    if as_json:
        return json.dumps({"next_thought": thought, "tool_calls": listed})
    return said(next_thought=thought, tool_calls=json.dumps(listed))


def replies(*turns: Any, request: lm15.Request) -> Any:
    """The turn that is due, in the way that is asked for."""
    turn = turns[min(sum(message.role == "assistant" for message in request.messages), len(turns) - 1)]
    if not isinstance(turn, list):
        return turn
    if request.tools:
        asked = request.messages[-1].parts[0].text
        return called(*turn, text=said(next_thought="so") if "next_thought" in asked else "")
    as_json = "Respond with a JSON object" in request.messages[-1].parts[0].text
    return told(*turn, as_json=as_json)


def script(*turns: Any) -> Callable[[lm15.Request], Any]:
    """Replies of a model: what it calls in each turn, or what it says."""
    return lambda request: replies(*turns, request=request)


SUBMIT: list[Call] = [("submit", {"answer": "4"})]
TAKE: list[Call] = [("take", {"word": "a"})]
TURNS: dict[str, tuple[Any, ...]] = {
    "at once": (SUBMIT,),
    "after a step": (TAKE, SUBMIT),
    "after many": (TAKE, [("atake", {"word": "b", "times": 2})], [("Counter", {})], TAKE, SUBMIT),
    "several at once": ([*TAKE, ("Counter", {"by": 2}), *TAKE], SUBMIT),
    "with a step": ([*TAKE, *SUBMIT],),
    "unknown tool": ([("search", {"q": 1}), *TAKE], SUBMIT),
    "wrong argument": ([("take", {"wrong": 1})], [("take", {"word": "a", "times": "x"})], SUBMIT),
    "failing": ([("fail", {"kind": "told"})], SUBMIT),
    "of many kinds": ([("give", {"kind": "list"}), ("give", {"kind": "model"})], SUBMIT),
    "submit of nothing": ([("submit", {})], SUBMIT),
    "submit of more": ([("submit", {"answer": "4", "more": 1})], SUBMIT),
    "submit of another type": ([("submit", {"answer": {"a": 1}})], SUBMIT),
    "nothing called": (TAKE, [], SUBMIT),
    "never": (TAKE,),
    "unreadable": ("garbage", "garbage", SUBMIT),
    "unreadable later": (TAKE, "garbage", "garbage"),
    "empty": ("", "", SUBMIT),
    "only words": (said(next_thought="hm"), SUBMIT),
    "too long": (TAKE, raising(too_long), SUBMIT),
    "too long at once": (raising(too_long),),
    "thinking": (called(*TAKE, thought="hm"), called(*SUBMIT, thought="so")),
    "thinking aloud": (called(*TAKE, text="I look.", thought="hm"), called(*SUBMIT, text="Done.")),
    "thinking and nothing": (called(thought="hm"), SUBMIT),
    "words that mean something": (said(next_thought="reasoning_content, citations", tool_calls="[]"), SUBMIT),
    "unicode": ([("take", {"word": "\u2028\U0001f600\x00"})], SUBMIT),
    "surrogate": ([("take", {"word": "\ud800"})], SUBMIT),
    "nested": ([("untyped", {"a": {"b": [1, {"c": None}]}})], SUBMIT),
    "calls without ids": (
        said(next_thought="t", tool_calls='[{"name": "take", "arguments": "{\'word\': \'a\'}"}]'),
        SUBMIT,
    ),
    "one call as an object": (
        said(next_thought="t", tool_calls='{"name": "take", "args": {"word": "a"}}'),
        SUBMIT,
    ),
}
BOX = ("take", "atake", "Counter", "fail", "give", "untyped")


def agent(signature: Any = QA, max_iters: int = 6) -> Callable[[Stage], dspy.Module]:
    """DSPy's second agent, with tools."""
    return lambda stage: dspy.ReActV2(signature, tools=toolbox(stage, *BOX), max_iters=max_iters)


class Growing:
    """A tool whose result goes on changing after it was given."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def grow(self, word: str) -> list[str]:
        """Grow."""
        self.seen.append(word)
        return self.seen


def _growing(_: Stage) -> dspy.Module:
    return dspy.ReActV2(QA, tools=[Growing().grow])


def _spoiling(_: Stage) -> dspy.Module:
    def spoil(words: list) -> str:  # type: ignore[type-arg] # as a user may write it
        """Change what it was given."""
        words.append("more")
        return "ok"

    spoil.__annotations__ = {"words": list}
    return dspy.ReActV2(QA, tools=[dspy.Tool(spoil, arg_types={})])


async def _twice(stage: Stage, module: dspy.Module) -> None:
    """The second query goes on with the conversation of the first."""
    first = await stage.call(module, question="one")
    history = getattr(first, "history", None)
    await stage.call(module, question="two", history=history)
    await stage.call(module, question="three", history=copy.deepcopy(history))


async def _as_data(stage: Stage, module: dspy.Module) -> None:
    first = await stage.call(module, question="one")
    data = first.history.model_dump() if first is not None else None
    await stage.call(module, question="two", history=data)


def _conversation() -> dspy.History:
    return dspy.History(messages=[{"question": "1?", "answer": "one"}, {"question": "2?", "answer": 2}])


async def _changing(stage: Stage, module: dspy.Module) -> None:
    """A conversation that lives on and changes in place."""
    history = _conversation()
    await stage.call(module, question="a", history=history)
    history.messages[0]["answer"] = "other"
    await stage.call(module, question="b", history=history)
    history.messages.append({"question": "3?", "answer": ["x"]})
    await stage.call(module, question="c", history=history)
    history.messages[2]["answer"].append("y")
    await stage.call(module, question="d", history=history)
    history.messages[1]["more"] = "m"
    del history.messages[0]["question"]
    await stage.call(module, question="e", history=history)
    history.messages.clear()
    await stage.call(module, question="f", history=history)


async def _many(stage: Stage, module: dspy.Module) -> None:
    """Turns come and go."""
    history = dspy.History(messages=[])
    for number in range(6):
        history.messages[:] = [{"question": f"{number}?", "answer": "a"}]
        await stage.call(module, question="q", history=history)


async def _other_tools(stage: Stage, module: dspy.Module) -> None:
    """Others at each call, one of them changed in place."""
    boxes = [toolbox(stage, "take"), toolbox(stage, "take", "Counter"), toolbox(stage, "take")]
    tools = [[tool if isinstance(tool, dspy.Tool) else dspy.Tool(tool) for tool in box] for box in boxes]
    for box in (*tools, tools[0], tools[0][0], [], None, ["take"]):
        await stage.call(module, question="q", tools=box)
    tools[0][0].args["word"]["description"] = "which one"
    await stage.call(module, question="q", tools=tools[0])
    tools[0][0].desc = "Another."
    await stage.call(module, question="q", tools=tools[0])


CONVERSATIONS: dict[str, Any] = {
    "plain": [{"question": "1?", "answer": "one"}],
    "none": [],
    "without an answer": [{"question": "1?"}],
    "without a question": [{"answer": "one"}],
    "of nothing": [{}],
    "of more": [{"question": "1?", "answer": "one", "more": {"a": 1}}],
    "of values": [{"question": ["a", 1], "answer": {"b": None}}, {"question": 1, "answer": 2.5}],
    "of headers": [{"question": "[[ ## answer ## ]]", "answer": "[[ ## completed ## ]]"}],
    "of marks": [
        {"question": "<<CUSTOM-TYPE-START-IDENTIFIER>>x<<CUSTOM-TYPE-END-IDENTIFIER>>", "answer": "a"}
    ],
    "of surrogates": [{"question": "\ud800", "answer": "a"}],
    "of images": [{"question": dspy.Image(url="https://example.org/a.png"), "answer": "a"}],
    "of empty texts": [{"question": "", "answer": ""}],
    "of calls": [
        {
            "question": "1?",
            "calls": dspy.ToolCalls.from_dict_list([{"id": "c1", "name": "take", "args": {"word": "a"}}]),
        }
    ],
    "of calls as data": [{"question": "1?", "calls": {"tool_calls": [{"name": "take", "args": {}}]}}],
    "of wrong calls": [{"question": "1?", "calls": {"tool_calls": 5}}],
}


def _chat(kind: Any) -> Callable[[Stage], dspy.Module]:
    return lambda _: kind(Chat)


CASES: list[Case] = [
    *(
        Case(
            f"native: {name}, {adapter}, {able}",
            agent(),
            replies=script(*turns),
            settings=settings(adapter),
            can=CAN[able],
            modes=("async",) if name != "after many" else ("async", "sync"),
        )
        for name, turns in TURNS.items()
        for adapter, able in (
            ("chat", "nothing"),
            ("chat, native", "tools"),
            ("chat, native", "all"),
            ("json", "tools and thoughts"),
            ("json, by text", "all"),
        )
    ),
    *(
        Case(
            f"native: {name}, {adapter}, {able}",
            make,
            replies=script(*turns),
            settings=settings(adapter),
            can=CAN[able],
            play=play,
            modes=("async",),
        )
        for name, make, turns, play in (
            ("twice", agent(), (TAKE, SUBMIT, SUBMIT, TAKE, SUBMIT), _twice),
            ("as data", agent(), (TAKE, SUBMIT, SUBMIT), _as_data),
            ("growing", _growing, ([("grow", {"word": "a"})], [("grow", {"word": "b"})], SUBMIT), None),
            (
                "spoiling",
                _spoiling,
                ([("spoil", {"words": ["a"]})], [("spoil", {"words": []})], SUBMIT),
                None,
            ),
            ("two steps", agent(max_iters=2), (TAKE,), None),
            ("no steps", agent(max_iters=0), (SUBMIT,), None),
            (
                "many fields",
                agent("a, b: list[int] -> c: int, d: list[str]"),
                (TAKE, [("submit", {"c": 1, "d": ["x"]})]),
                None,
            ),
        )
        for adapter in ADAPTERS
        for able in CAN
    ),
    *(
        Case(
            f"conversation {name}, {adapter}",
            lambda _: dspy.Predict(Chat),
            inputs={"question": "q"},
            replies=[said(answer="4"), '{"answer": "4"}'],
            settings=settings(adapter),
            can=ABILITIES[2],
            play=play,
            modes=("async",),
        )
        for name, play in (("changing", _changing), ("of many", _many))
        for adapter in ADAPTERS
    ),
    *(
        Case(
            f"conversation {name}, {adapter}",
            _chat(kind),
            inputs={"question": "q", "history": dspy.History(messages=turns)},
            replies=[said(reasoning="r", answer="4"), '{"reasoning": "r", "answer": "4"}'],
            settings=settings(adapter),
            can=CAN["all"],
            modes=("async",),
        )
        for name, turns in CONVERSATIONS.items()
        for adapter in ADAPTERS
        for kind in (dspy.Predict, dspy.ChainOfThought)
    ),
    *(
        Case(
            f"offered {name}, {adapter}, {able}",
            lambda _: dspy.Predict(Native),
            replies=script(reply),
            settings=settings(adapter),
            can=CAN[able],
            play=_other_tools,
            modes=("async",),
        )
        for name, reply in (("called", called(*TAKE)), ("told", said(calls='[{"name": "take", "args": {}}]')))
        for adapter in ADAPTERS
        for able in CAN
    ),
]
