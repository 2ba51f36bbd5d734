"""Cases: what one call or the settings say: arguments with a meaning, abilities, traces, usage."""

from __future__ import annotations

import dspy
from dspy import lm15

from tests.programs.conftest import response, said
from tests.programs.fast.corpus_adapters import JSON_CAN, adapted
from tests.programs.fast.corpus_failures import ERRORS
from tests.programs.fast.corpus_state import agent, replies
from tests.programs.fast.corpus_types import Defaults, Everything, Native
from tests.programs.fast.differential_case import Case, as_json, predictor, raising

QA = "question -> answer"
FOUR = said(reasoning="r", answer="4")
Q = {"question": "q"}
WARNING = {"warn_on_type_mismatch": True}
SEVERAL = {"n": 2}
NATIVE = response(
    "", message=lm15.Message.assistant([lm15.ToolCallPart(id="c", name="search", input={"query": "x"})])
)
SEARCH = dspy.Tool(lambda query: query, name="search", desc="Search.", args={"query": {"type": "string"}})
NATIVE_INPUTS = {"question": "q", "tools": [SEARCH]}
THOUGHT = response(
    "", message=lm15.Message.assistant([lm15.ThinkingPart("hm"), lm15.TextPart(said(answer="4"))])
)


class Thought(dspy.Signature):  # type: ignore[misc] # DSPy has no types
    """Think natively."""

    question: str = dspy.InputField()
    reasoning: dspy.Reasoning = dspy.OutputField()
    answer: str = dspy.OutputField()


CASES: list[Case] = [
    predictor("schema, read again", QA, Q, "bad", as_json(answer="4"), can=JSON_CAN),
    predictor("schema for everything", Everything, {"text": "t"}, "bad", "{}", can=JSON_CAN),
    predictor(
        "schema of a model without schemas",
        QA,
        Q,
        "bad",
        as_json(answer="4"),
        can={"params": ("response_format",)},
    ),
    predictor(
        "schema of an open mapping",
        "question -> answer: dict[str, int]",
        Q,
        "bad",
        as_json(answer={"a": 1}),
        can=JSON_CAN,
    ),
    predictor("schema of defaults", Defaults, Q, "bad", as_json(answer="4"), can=JSON_CAN),
    predictor(
        "native tools",
        Native,
        NATIVE_INPUTS,
        NATIVE,
        settings=adapted(dspy.JSONAdapter),
        can={"tools": True},
    ),
    predictor(
        "native tools, not able",
        Native,
        NATIVE_INPUTS,
        as_json(calls={"tool_calls": []}),
        settings=adapted(dspy.JSONAdapter),
    ),
    predictor(
        "native tools in the second reading", Native, NATIVE_INPUTS, "bad", NATIVE, can={"tools": True}
    ),
    predictor("native reasoning", Thought, Q, THOUGHT, can={"reasoning": True}),
    predictor("native reasoning, not able", Thought, Q, THOUGHT),
    predictor(
        "native reasoning, switched off",
        Thought,
        {**Q, "config": {"reasoning_effort": None}},
        said(reasoning="r", answer="4"),
        can={"reasoning": True},
    ),
    predictor(
        "several, one unreadable",
        QA,
        {**Q, "config": SEVERAL},
        FOUR,
        "bad",
        as_json(answer="4"),
        as_json(answer="5"),
    ),
    predictor("several, one fails", QA, {**Q, "config": SEVERAL}, FOUR, raising(ERRORS["server"])),
    predictor("demos of the call", QA, {**Q, "demos": [{"question": "1", "answer": "2"}]}, FOUR),
    predictor("signature of the call", QA, {**Q, "signature": "question -> answer: int"}, said(answer="4")),
    predictor("signature class of the call", QA, {"text": "t", "signature": Everything}, "{}"),
    predictor("new_signature of the call", QA, {**Q, "new_signature": QA}, FOUR),
    predictor("LM of the call, a text", QA, {**Q, "lm": "openai/gpt-4o"}, FOUR),
    predictor("LM of the call, a number", QA, {**Q, "lm": 5}, FOUR),
    predictor("config of the call, none", QA, {**Q, "config": None}, FOUR),
    predictor("prediction of the call", QA, {**Q, "prediction": {"type": "content", "content": "4"}}, FOUR),
    predictor("prediction of the call, an input", QA, {**Q, "prediction": "p"}, FOUR),
    predictor("no trace of the call", QA, {**Q, "_trace": False}, FOUR),
    predictor("unknown input", QA, {**Q, "colour": "red", "size": 1}, FOUR),
    predictor("no input", QA, {}, FOUR),
    predictor("one input of two", "question, context -> answer", {"context": "c"}, FOUR),
    predictor("input none", QA, {"question": None}, FOUR),
    predictor(
        "input of another type, warned",
        "question: int -> answer",
        {"question": "q"},
        FOUR,
        settings=lambda _: WARNING,
    ),
    predictor(
        "inputs of many types, warned",
        Everything,
        {"text": 1, "names": "n", "person": {}},
        "{}",
        settings=lambda _: WARNING,
    ),
    predictor("without an LM", QA, Q, FOUR, settings=lambda _: {"lm": None}),
    predictor("LM of the settings, a text", QA, Q, FOUR, settings=lambda _: {"lm": "openai/gpt-4o"}),
    predictor("without a trace", QA, Q, FOUR, settings=lambda _: {"trace": None}),
    predictor(
        "with a short trace", QA, Q, FOUR, settings=lambda _: {"max_trace_size": 1, "trace": ["oldest"]}
    ),
    predictor("with no room for a trace", QA, Q, FOUR, settings=lambda _: {"max_trace_size": 0}),
    predictor("usage tracked", QA, Q, "bad", as_json(answer="4"), settings=lambda _: {"track_usage": True}),
    predictor(
        "usage tracked, thought over",
        QA,
        Q,
        FOUR,
        settings=lambda _: {"track_usage": True},
        kind=dspy.ChainOfThought,
    ),
    Case("usage tracked, agent", agent, replies=replies, settings=lambda _: {"track_usage": True}),
]
