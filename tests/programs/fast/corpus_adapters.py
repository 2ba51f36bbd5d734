"""Cases: adapters of all kinds, and settings of predictors and LMs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dspy

from tests.programs.conftest import said
from tests.programs.fast.corpus_state import agent
from tests.programs.fast.corpus_types import Chat, Everything
from tests.programs.fast.differential_case import Case, as_json, predictor, step

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.programs.fast.differential_world import Stage

QA = "question -> answer"
FOUR = said(reasoning="r", answer="4")
JSON_FOUR = as_json(reasoning="r", answer="4")
XML_FOUR = "<reasoning>\nr\n</reasoning>\n<answer>\n4\n</answer>"
JSON_CAN = {"schema": True, "params": ("response_format",)}
Q = {"question": "q"}


class Louder(dspy.ChatAdapter):  # type: ignore[misc] # DSPy has no types
    """A user's adapter."""

    def format_user_message_content(self, *args: Any, **kwargs: Any) -> str:
        return f"{super().format_user_message_content(*args, **kwargs)}!"

    def parse(self, signature: Any, completion: str) -> dict[str, Any]:
        return dict.fromkeys(signature.output_fields, "parsed")


ADAPTERS: dict[str, tuple[Callable[[], Any], Any]] = {
    "chat": (dspy.ChatAdapter, FOUR),
    "chat without fallback": (lambda: dspy.ChatAdapter(use_json_adapter_fallback=False), FOUR),
    "chat with native calls": (lambda: dspy.ChatAdapter(use_native_function_calling=True), FOUR),
    "chat with native types": (lambda: dspy.ChatAdapter(native_response_types=[dspy.Code]), FOUR),
    "json": (dspy.JSONAdapter, JSON_FOUR),
    "json without native calls": (lambda: dspy.JSONAdapter(use_native_function_calling=False), JSON_FOUR),
    "xml": (dspy.XMLAdapter, XML_FOUR),
    "baml": (lambda: dspy.BAMLAdapter() if hasattr(dspy, "BAMLAdapter") else dspy.ChatAdapter(), JSON_FOUR),
    "of the user's": (Louder, FOUR),
    "none": (lambda: None, FOUR),
}


def adapted(make: Callable[[], Any]) -> Callable[[Stage], Mapping[str, Any]]:
    """Settings with an adapter, made anew for each query."""
    return lambda _: {"adapter": make()}


def _two_step(stage: Stage) -> Mapping[str, Any]:
    return {"adapter": dspy.TwoStepAdapter(extraction_model=stage.lm("extraction"))}


def _adapter_cases() -> list[Case]:
    """Each adapter: read at once, in the second place, never; with an agent, with fields of many types."""
    return [
        case
        for name, (make, good) in ADAPTERS.items()
        for settings in [adapted(make)]
        for case in (
            predictor(f"adapter {name}", QA, Q, good, settings=settings),
            predictor(
                f"adapter {name}, second reading", QA, Q, "bad", JSON_FOUR, settings=settings, can=JSON_CAN
            ),
            predictor(f"adapter {name}, unreadable", QA, Q, "bad", settings=settings, modes=("async",)),
            predictor(
                f"adapter {name}, thought over",
                QA,
                Q,
                good,
                settings=settings,
                kind=dspy.ChainOfThought,
                modes=("async",),
            ),
            predictor(
                f"adapter {name}, everything",
                Everything,
                {"text": "t"},
                "{}",
                settings=settings,
                can=JSON_CAN,
                modes=("async",),
            ),
            predictor(
                f"adapter {name}, history",
                Chat,
                {"history": dspy.History(messages=[Q]), **Q},
                good,
                settings=settings,
                modes=("async",),
            ),
            Case(
                f"adapter {name}, agent", agent, replies=_in_format(name), settings=settings, modes=("async",)
            ),
        )
    ]


def _in_format(name: str) -> Any:
    if name.startswith("json"):
        return [
            as_json(next_thought="t", next_tool_name="double", next_tool_args={"number": 1}),
            as_json(next_thought="t", next_tool_name="finish", next_tool_args={}),
            JSON_FOUR,
        ]
    return [step("double", number=1), step("finish"), FOUR]


CONFIGS: dict[str, dict[str, Any]] = {
    "temperature": {"temperature": 0.5},
    "temperature zero": {"temperature": 0},
    "max tokens": {"max_tokens": 7},
    "n": {"n": 2},
    "n, cold": {"n": 3, "temperature": 0.1},
    "n, hot": {"n": 2, "temperature": 1.0},
    "n of one": {"n": 1},
    "n of none": {"n": None},
    "n of text": {"n": "two"},
    "generations": {"num_generations": 2},
    "stop": {"stop": ["END", "\n"]},
    "seed and penalties": {"seed": 3, "presence_penalty": 0.1, "frequency_penalty": -0.1, "top_p": 0.9},
    "logprobs": {"logprobs": True, "top_logprobs": 2},
    "rollout": {"rollout_id": 1, "temperature": 1.0},
    "rollout, cold": {"rollout_id": 1},
    "reasoning effort": {"reasoning_effort": "low"},
    "response format": {"response_format": {"type": "json_object"}},
    "tools": {"tools": [], "tool_choice": "auto", "parallel_tool_calls": True},
    "user": {"user": "me", "metadata": {"a": "b"}},
    "of its own": {"wonder": 1},
    "cached": {"cache": False},
    "address": {"api_base": "http://localhost:1/v1"},
    "key": {"api_key": "sk-made-up"},
    "headers": {"extra_headers": {"a": "b"}},
    "timeout": {"timeout": 3},
    "wrong temperature": {"temperature": 5},
    "text temperature": {"temperature": "hot"},
    "none": {"temperature": None, "max_tokens": None},
    "prediction": {"prediction": {"type": "content", "content": "4"}},
}
LM_SETTINGS: dict[str, dict[str, Any]] = {
    name: config
    for name, config in CONFIGS.items()
    if name not in {"cached", "address", "key", "timeout", "headers"}
}


def _configured(config: dict[str, Any]) -> Callable[[Stage], Any]:
    return lambda _: dspy.Predict(QA, **config)


def _config_cases() -> list[Case]:
    configured = [
        Case(f"config {name}", _configured(config), replies=[FOUR, "bad", FOUR])
        for name, config in CONFIGS.items()
    ]
    per_call = [
        predictor(
            f"config {name} of the call",
            QA,
            {**Q, "config": config},
            "bad",
            as_json(answer="4"),
            modes=("async",),
        )
        for name, config in CONFIGS.items()
    ]
    of_lm = [
        predictor(
            f"config {name} of the LM", QA, Q, FOUR, lm=config, kind=dspy.ChainOfThought, modes=("async",)
        )
        for name, config in LM_SETTINGS.items()
    ]
    return [*configured, *per_call, *of_lm]


CASES: list[Case] = [
    *_adapter_cases(),
    predictor("adapter of two steps", QA, Q, "It is 4.", said(answer="4"), settings=_two_step),
    *_config_cases(),
]
