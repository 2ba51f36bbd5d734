"""Python clients of OpenAI's API, each behind the same few words."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import openai

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "true"
_ROLES = ("user", "assistant")


@dataclass(frozen=True, slots=True)
class Said:
    """What came back."""

    text: str
    total_tokens: int


class Client(Protocol):
    """Asks in one way of one client."""

    missing: type[Exception]
    unavailable: type[Exception]

    def ask(self, *said: str, model: str = "default") -> Said:
        """Ask what is last, after what the user and the assistant said in turn."""

    def stream(self, question: str) -> Iterator[str | int]:
        """The pieces of the answer as they come, then the tokens; closing it hangs up."""


def _messages(said: tuple[str, ...]) -> list[Any]:
    return [{"role": _ROLES[at % 2], "content": text} for at, text in enumerate(said)]


class OpenAIChat:
    """The official SDK, chat completions."""

    missing: type[Exception] = openai.NotFoundError
    unavailable: type[Exception] = openai.InternalServerError

    def __init__(self, base_url: str) -> None:
        self.sdk = openai.OpenAI(base_url=base_url, api_key="any", max_retries=0)

    def ask(self, *said: str, model: str = "default") -> Said:
        completion = self.sdk.chat.completions.create(model=model, messages=_messages(said))
        assert completion.usage is not None
        assert completion.choices[0].finish_reason == "stop"
        return Said(completion.choices[0].message.content or "", completion.usage.total_tokens)

    def stream(self, question: str) -> Iterator[str | int]:
        with self.sdk.chat.completions.create(
            model="default",
            messages=_messages((question,)),
            stream=True,
            stream_options={"include_usage": True},
        ) as chunks:
            for chunk in chunks:
                if chunk.usage is not None:
                    yield chunk.usage.total_tokens
                elif chunk.choices[0].delta.content:
                    yield chunk.choices[0].delta.content


class OpenAIResponses(OpenAIChat):
    """The official SDK, responses."""

    def ask(self, *said: str, model: str = "default") -> Said:
        response = self.sdk.responses.create(model=model, input=_messages(said))
        assert response.usage is not None
        return Said(response.output_text, response.usage.total_tokens)

    def stream(self, question: str) -> Iterator[str | int]:
        with self.sdk.responses.stream(model="default", input=question) as events:
            created = ""
            for event in events:
                if event.type == "response.created":
                    created = event.response.id
                elif event.type == "response.output_text.delta":
                    yield event.delta
                elif event.type == "response.completed":
                    assert event.response.id == created
                    assert event.response.usage is not None
                    yield event.response.usage.total_tokens


class LangChainChat:
    """langchain-openai, chat completions."""

    missing: type[Exception] = openai.NotFoundError
    unavailable: type[Exception] = openai.InternalServerError
    uses_responses = False

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url

    def model(self, model: str = "default", **more: bool) -> Any:
        """What LangChain calls a chat model."""
        from langchain_openai import ChatOpenAI  # noqa: PLC0415 - takes long, for those who need it

        return ChatOpenAI(
            model=model,
            base_url=self._base_url,
            api_key="any",
            max_retries=0,
            stream_usage=True,
            use_responses_api=self.uses_responses,
            **more,
        )

    def ask(self, *said: str, model: str = "default") -> Said:
        message = self.model(model).invoke(_messages(said))
        return Said(message.text, message.usage_metadata["total_tokens"])

    def stream(self, question: str) -> Iterator[str | int]:
        total_tokens = 0
        for chunk in self.model().stream(question):
            if chunk.text:
                yield str(chunk.text)
            if chunk.usage_metadata:
                total_tokens += chunk.usage_metadata["total_tokens"]
        yield total_tokens


class LangChainResponses(LangChainChat):
    """langchain-openai, responses."""

    uses_responses = True


class LiteLLMChat:
    """litellm, chat completions; its responses need more packages than the service has."""

    missing: type[Exception]
    unavailable: type[Exception]

    def __init__(self, base_url: str) -> None:
        import litellm  # noqa: PLC0415 - takes long, for those who need it

        self._litellm: Any = litellm
        self.missing = litellm.exceptions.NotFoundError
        self.unavailable = litellm.exceptions.ServiceUnavailableError
        self._at = {"api_base": base_url, "api_key": "any", "max_retries": 0}

    def ask(self, *said: str, model: str = "default") -> Said:
        completion = self._litellm.completion(model=f"openai/{model}", messages=_messages(said), **self._at)
        return Said(completion.choices[0].message.content, completion.usage.total_tokens)

    def stream(self, question: str) -> Iterator[str | int]:
        chunks = self._litellm.completion(
            model="openai/default",
            messages=_messages((question,)),
            stream=True,
            stream_options={"include_usage": True},
            **self._at,
        )
        try:
            for chunk in chunks:
                if chunk.choices and chunk.choices[0].delta.content:
                    yield chunk.choices[0].delta.content
                if getattr(chunk, "usage", None) is not None:
                    yield chunk.usage.total_tokens
        finally:
            chunks.completion_stream.close()


CLIENTS: tuple[Callable[[str], Client], ...] = (
    OpenAIChat,
    OpenAIResponses,
    LangChainChat,
    LangChainResponses,
    LiteLLMChat,
)
