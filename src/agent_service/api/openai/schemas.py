"""What OpenAI's clients send. What a program cannot do is refused; what tunes its model has no effect."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

from agent_service.api.schemas import SessionId, UserId  # noqa: TC001 - pydantic resolves annotations at run time

ANONYMOUS = "anonymous"
"""Who asks when a request names nobody, and no key does."""


def _only(*allowed: object, why: str) -> BeforeValidator:
    """Refuse what cannot be honoured, in words."""

    def check(value: object) -> object:
        if value not in allowed:
            raise PydanticCustomError("not_supported", "{why}", {"why": why})
        return value

    return BeforeValidator(check)


_NO_TOOLS = "must be left out: a program calls its own tools, never a client's"
_NoTools = Annotated[
    Annotated[list[Any], Field(max_length=0)] | None,
    _only(None, [], why=_NO_TOOLS),
    Field(description=_NO_TOOLS),
]
_NO_FORMAT = "must be text: a program has no other form of an answer"
_NO_LOGPROBS = "must be left out: a program has no log probabilities"
_OneAnswer = Annotated[Literal[1] | None, _only(None, 1, why="must be 1: a program answers once")]


_Text = Annotated[str, Tag("text")]
# Of what is wrong in a list, nothing is told about texts.
_TextOrList = Discriminator(lambda value: "list" if isinstance(value, list) else "text")


class _Sent(BaseModel):
    """What clients send; fields that are not known are ignored, as there are new ones all the time."""

    model_config = ConfigDict(strict=True)


class TextPart(_Sent):
    """A piece of a message."""

    type: Annotated[
        Literal["text", "input_text", "output_text"],
        _only(
            "text",
            "input_text",
            "output_text",
            why="must be text: a program's question holds no images, sounds or files",
        ),
    ]
    text: str


class Message(_Sent):
    """One message of the conversation."""

    type: Literal["message"] = "message"
    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[_Text | Annotated[list[TextPart], Tag("list")], _TextOrList] | None = None

    @property
    def is_instruction(self) -> bool:
        """Whether it tells the program how to answer, and asks nothing."""
        return self.role in {"system", "developer"}

    @property
    def text(self) -> str:
        """The whole of it."""
        if isinstance(self.content, list):
            return "".join(part.text for part in self.content)
        return self.content or ""


class Reference(_Sent):
    """An item that a response had, by its id."""

    type: Literal["item_reference"]
    id: Annotated[str, Field(max_length=1000)]


class Reasoning(_Sent):
    """Steps that a client sends back; the program has no use for them."""

    type: Literal["reasoning"]


def _kind_of(item: Any) -> str:
    return str(item.get("type", "message")) if isinstance(item, dict) else "message"


Item = Annotated[
    Annotated[Message, Tag("message")]
    | Annotated[Reference, Tag("item_reference")]
    | Annotated[Reasoning, Tag("reasoning")],
    Discriminator(_kind_of),
]


class Metadata(_Sent):
    """What a request says of itself; other keys come back as they are."""

    model_config = ConfigDict(extra="allow")

    user_id: UserId | None = None
    session_id: SessionId | None = None


class TextFormat(_Sent):
    """The only format of an answer."""

    type: Annotated[Literal["text"], _only("text", why=_NO_FORMAT)]


class TextOptions(_Sent):
    """How the text of a response is to be."""

    format: TextFormat | None = None


class StreamOptions(_Sent):
    """What a stream is to tell besides the answer."""

    include_usage: bool | None = None


class ProgramRequest(_Sent):
    """What both endpoints have in common."""

    model: Annotated[str, Field(max_length=256, description="The program to ask, as /v1/models lists it.")]
    stream: bool | None = None
    user: Annotated[UserId | None, Field(description="Who asks: the user_id of the other endpoints.")] = None
    metadata: Annotated[
        Metadata | None, Field(description="`session_id` names a stored conversation, `user_id` who asks.")
    ] = None
    tools: _NoTools = None

    @property
    def user_id(self) -> str | None:
        """Who asks, when the request says so."""
        return self.user or (self.metadata and self.metadata.user_id) or None

    @property
    def session_id(self) -> str | None:
        """The stored conversation that is asked for."""
        return self.metadata.session_id if self.metadata else None


class ChatRequest(ProgramRequest):
    """A request for a chat completion. What is not named here, such as `temperature`, has no effect."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"model": "default", "messages": [{"role": "user", "content": "What is 2+2?"}]}]
        }
    )

    messages: Annotated[list[Message], Field(min_length=1, max_length=1000)]
    stream_options: StreamOptions | None = None
    n: _OneAnswer = None
    functions: _NoTools = None
    response_format: TextFormat | None = None
    logprobs: Annotated[Literal[False] | None, _only(None, False, why=_NO_LOGPROBS)] = None
    modalities: Annotated[
        list[Literal["text"]] | None, _only(None, [], ["text"], why='must be ["text"]: a program writes')
    ] = None


class ResponseRequest(ProgramRequest):
    """A request for a response. What is not named here, such as `temperature`, has no effect."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"model": "default", "input": "What is 2+2?"}]})

    input: Annotated[
        _Text | Annotated[list[Item], Tag("list"), Field(min_length=1, max_length=1000)], _TextOrList
    ]
    instructions: str | None = None
    previous_response_id: Annotated[
        str | None, Field(max_length=1000, description="Continue after this response.")
    ] = None
    store: Annotated[bool | None, Field(description="Keep the turn, so that it can be continued.")] = None
    text: TextOptions | None = None
    top_logprobs: Annotated[Literal[0] | None, _only(None, 0, why=_NO_LOGPROBS)] = None
    background: Annotated[
        Literal[False] | None, _only(None, False, why="must be false: an answer is not kept waiting")
    ] = None
    conversation: Annotated[
        None, _only(None, why="must be left out: name the conversation by previous_response_id or session_id")
    ] = None
    prompt: Annotated[None, _only(None, why="must be left out: there are no stored prompts")] = None

    @property
    def continued(self) -> str | None:
        """The id of the response that this one continues, or of its answer."""
        return self._split()[0] or self.previous_response_id

    @property
    def messages(self) -> list[Message]:
        """What is said; of what comes before an answer that is referred to, only instructions are new."""
        return self._split()[1]

    def _split(self) -> tuple[str | None, list[Message]]:
        """The last answer that is referred to, and the messages that are not part of its conversation."""
        if isinstance(self.input, str):
            return None, [Message(role="user", content=self.input)]
        continued: str | None = None
        messages: list[Message] = []
        for item in self.input:
            if isinstance(item, Message):
                messages.append(item)
            elif isinstance(item, Reference) and item.id.startswith("msg_"):
                continued = item.id
                messages = [message for message in messages if message.is_instruction]
        return continued, messages
