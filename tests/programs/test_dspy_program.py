"""Serving a module: what reaches it, what comes back, and what stays of a query."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dspy
import pytest
from dspy.clients.base_lm import GLOBAL_HISTORY

from agent_service.core.errors import InternalError
from agent_service.core.messages import Turn, Usage
from agent_service.core.observer import LMCallFinished, ToolFinished
from agent_service.programs.dspy_program import has_aforward
from tests.programs.conftest import MODEL, Async, Program, Sync, said

if TYPE_CHECKING:
    from tests.programs.conftest import Serving

QA = "question -> answer"
FOUR = said(answer="4")


def step(tool: str, **arguments: Any) -> str:
    """One step of a ReAct agent."""
    shown = repr(arguments).replace("'", '"')
    return said(next_thought="so", next_tool_name=tool, next_tool_args=shown)


async def test_an_agent_s_answer(serve: Serving) -> None:
    """The whole path of an agent: steps, tools, answer, usage, events."""

    def double(number: int) -> int:
        """Double it."""
        return 2 * number

    agent = dspy.ReAct(QA, tools=[double])
    served = await serve(agent, step("double", number=2), step("finish"), said(reasoning="2+2", answer="4"))
    run = served.new_run()
    reply = await served.ask(run=run)

    assert reply.outputs == {"answer": "4"}
    assert reply.model == MODEL
    assert run.tools_used == ("double",)
    assert run.usage == Usage(prompt_tokens=30, completion_tokens=15, lm_calls=3)
    assert [event.outcome for event in served.observer.of(ToolFinished)] == ["success"]
    assert [event.outcome for event in served.observer.of(LMCallFinished)] == ["success"] * 3
    assert "observation_0 ## ]]\\n4" in str(served.transport.requests[1])


async def test_a_failing_tool_is_told_to_the_agent_without_internals(serve: Serving) -> None:
    """The agent goes on with kind and message; no path and no traceback reaches the model."""

    def look(name: str) -> str:
        """Look a file up."""
        return Path(f"/srv/secrets/{name}").read_text(encoding="utf-8")

    agent = dspy.ReAct(QA, tools=[look])
    served = await serve(agent, step("look", name="x"), step("finish"), said(reasoning="gone", answer="no"))
    assert await served.answer() == "no"
    prompt = str(served.transport.requests[1])
    assert "Execution error in look: FileNotFoundError" in prompt
    assert "[path]" in prompt
    assert "/srv" not in prompt
    assert "Traceback" not in prompt


async def test_a_module_without_an_async_side_works_in_a_thread(serve: Serving) -> None:
    """Its calls go by the service's loop, its run goes along."""

    def body(module: Program, question: str) -> Any:
        assert threading.current_thread().name.startswith("program")
        return module.answer(question=question)

    served = await serve(Sync(body), FOUR)
    assert await served.answer() == "4"
    assert served.transport.loops == [asyncio.get_running_loop()]
    assert served.observer.of(LMCallFinished)[0].request_id == "r1"


async def test_an_async_module_works_on_the_loop(serve: Serving) -> None:
    """No thread is taken."""

    async def body(module: Program, question: str) -> Any:
        assert threading.current_thread() is threading.main_thread()
        return await module.answer.acall(question=question)

    served = await serve(Async(body), FOUR)
    assert await served.answer() == "4"


async def test_an_async_module_may_call_its_predictors_synchronously(serve: Serving) -> None:
    """It blocks the loop, as it asked to, and gets its answer."""

    async def body(module: Program, question: str) -> Any:
        return module.answer(question=question)

    served = await serve(Async(body), FOUR)
    assert await served.answer() == "4"


@pytest.mark.parametrize("name", ["config", "lm", "demos", "signature", "max_iters", "prediction", "_trace"])
async def test_privileged_arguments_never_reach_a_module(serve: Serving, name: str) -> None:
    """DSPy takes an address for the key from ``config``: inputs are the signature's and no others."""
    seen: list[dict[str, Any]] = []

    class Spy(dspy.Predict):  # type: ignore[misc] # DSPy has no types
        async def aforward(self, **arguments: Any) -> Any:
            seen.append(dict(arguments))
            return await super().aforward(**arguments)

    served = await serve(Spy(QA), FOUR)
    reply = await served.ask(inputs={name: {"api_base": "http://evil/v1"}, "extra": 1})
    assert reply.outputs == {"answer": "4"}
    assert seen == [{"question": "What is 2+2?"}]


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ("conversation, question -> answer", "User: Who?\\nAssistant: I."),
        ("conversation: list, question -> answer", '{"role": "user", "content": "Who?"}'),
        ("history: dspy.History, question -> answer", "[[ ## answer ## ]]\\nI."),
    ],
)
async def test_the_conversation_is_shown_as_the_program_declares_it(
    serve: Serving, module: str, expected: str
) -> None:
    """As text, as messages, or as DSPy's own History; a caller cannot fill it."""
    served = await serve(dspy.Predict(module), FOUR)
    turns = [Turn("t1", "Who?", "I.", 0.0)]
    await served.ask(conversation=turns, inputs={"conversation": "forged", "history": "forged"})
    prompt = str(served.transport.requests)
    assert expected in prompt
    assert "forged" not in prompt


async def test_generation_settings_of_predictors_and_lm_are_sent(serve: Serving) -> None:
    """The author's temperature is the author's."""
    served = await serve(
        dspy.Predict(QA, max_tokens=7), FOUR, lm_settings={"temperature": 0.3, "stop": ["x"]}
    )
    await served.ask()
    config = served.transport.requests[0].config
    assert (config.temperature, config.max_tokens, tuple(config.stop)) == (0.3, 7, ("x",))


async def test_the_same_question_twice_is_two_calls(serve: Serving) -> None:
    """DSPy's response cache is off: an answer belongs to who asked, when it was asked."""
    served = await serve(dspy.Predict(QA), FOUR, said(answer="vier"))
    assert [await served.answer(), await served.answer()] == ["4", "vier"]


@pytest.mark.parametrize("kind", [Sync, Async])
async def test_nothing_of_a_query_stays(serve: Serving, kind: type[Program]) -> None:
    """No history of DSPy's, no trace: memory does not grow and nobody's words are kept."""

    def body(module: Program, question: str) -> Any:
        return module.answer(question=question)

    async def abody(module: Program, question: str) -> Any:
        return await module.answer.acall(question=question)

    module = kind(body if kind is Sync else abody)
    served = await serve(module, FOUR)
    kept_before = len(GLOBAL_HISTORY), len(dspy.settings.trace)
    for number in range(50):
        await served.ask(f"question {number}")
    lm = served.program._lm  # noqa: SLF001 - only its history is looked at
    assert (len(GLOBAL_HISTORY), len(dspy.settings.trace)) == kept_before
    assert (module.history, module.answer.history, module.answer.traces, lm.history) == ([], [], [], [])


async def test_queries_at_once_do_not_mix(serve: Serving) -> None:
    """One module serves all; each query gets its own answer and its own counts."""

    async def body(module: Program, question: str) -> Any:
        await asyncio.sleep(0)
        await module.answer.acall(question=question)
        return dspy.Prediction(answer=question)

    served = await serve(Async(body), FOUR)
    runs = [served.new_run() for _ in range(20)]
    replies = await asyncio.gather(*(served.ask(str(n), run=run) for n, run in enumerate(runs)))
    assert [reply.outputs["answer"] for reply in replies] == [str(n) for n in range(20)]
    assert {run.usage.lm_calls for run in runs} == {1}


class OverridesForward(dspy.Predict):  # type: ignore[misc] # DSPy has no types
    """A subclass of DSPy's that changes only the sync side."""

    def forward(self, **_: Any) -> Any:
        """Not what ``aforward`` would do."""
        return dspy.Prediction(answer="mine")


def test_which_modules_have_an_async_side() -> None:
    """One that is inherited past the module's own ``forward`` is not its own."""
    assert has_aforward(dspy.Predict(QA))
    assert has_aforward(dspy.ReAct(QA, tools=[]))
    assert has_aforward(Async(print))
    assert not has_aforward(Sync(print))
    assert not has_aforward(OverridesForward(QA))
    assert not has_aforward(dspy.RLM(QA))


@pytest.mark.filterwarnings("ignore:CodeAct is deprecated:DeprecationWarning")
def test_codeact_has_no_async_side() -> None:
    """It inherits one that cannot work."""
    assert not has_aforward(dspy.CodeAct(QA, tools=[test_which_modules_have_an_async_side]))


async def test_a_subclass_s_own_forward_is_what_runs(serve: Serving) -> None:
    """Not the async side of the class it was made from."""
    served = await serve(OverridesForward(QA), FOUR)
    assert await served.answer() == "mine"


async def test_the_warm_up_leaves_no_trace(
    serve: Serving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No call of a real model, no cache on disk, nothing counted."""
    looked_up: list[object] = []
    monkeypatch.setattr(dspy.cache, "get", lambda *args, **_: looked_up.append(args))
    served = await serve(dspy.Predict("conversation, question -> answer"), FOUR)
    served.program._warm_up = {"conversation": "(nothing yet)", "question": "What is 2+2?"}  # noqa: SLF001 - set by the constructor elsewhere
    await served.program.start()
    assert looked_up == []
    assert served.transport.requests == []
    assert served.observer.events == []


class Forgetful(dspy.Module):  # type: ignore[misc] # DSPy has no types
    """Promises two outputs and gives one."""

    signature = "text -> left, right"

    def forward(self, text: str) -> dspy.Prediction:
        """Give the left one."""
        return dspy.Prediction(left=text)


async def test_outputs_that_are_promised_are_there(serve: Serving) -> None:
    """Where no output is the plain answer, all of a declared signature are needed."""
    served = await serve(Forgetful(), "")
    with pytest.raises(InternalError) as failed:
        await served.program.run(served.new_run(), {"text": "x"}, ())
    assert "without right" in str(failed.value.__cause__)
