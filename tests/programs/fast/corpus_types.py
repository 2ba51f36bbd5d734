"""Types that the corpus's signatures and tools are made with. Evaluated annotations: DSPy reads them."""

# No ``from __future__ import annotations``: DSPy resolves the annotations of signatures when they are made.
import dataclasses
import datetime as dt
import enum
import uuid
from typing import Any, Literal

import dspy
import pydantic
from typing_extensions import TypedDict


class Colour(enum.Enum):
    """Values other than the names; one value is another's name."""

    RED = "red"
    GREEN = "green"
    BLUE = "RED"


class Size(enum.Enum):
    """Values that are no texts."""

    SMALL = 1
    LARGE = 2


class Mood(str, enum.Enum):
    """Values that are texts themselves."""

    GLAD = "glad"
    SAD = "sad"


class Point(pydantic.BaseModel):
    """A small model."""

    x: int
    y: float = 0.5


class Person(pydantic.BaseModel):
    """A model in a model, with constraints, aliases and descriptions."""

    name: str = pydantic.Field(description="full name, e.g. Ada \u201cthe first\u201d", min_length=1)
    age: int | None = pydantic.Field(default=None, ge=0)
    home: Point = pydantic.Field(default_factory=lambda: Point(x=0))
    friends: list["Person"] = []
    born: dt.date | None = None


class Contact(pydantic.BaseModel):
    """A model in a model that does not hold itself."""

    name: str = pydantic.Field(min_length=1)
    home: Point = pydantic.Field(default_factory=lambda: Point(x=0))


class Strict(pydantic.BaseModel):
    """A model that takes nothing else."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    id: uuid.UUID
    when: dt.datetime


class Row(TypedDict):
    """A typed dictionary."""

    key: str
    count: int


@dataclasses.dataclass
class Pair:
    """A dataclass."""

    left: str
    right: int = 0


class Event(dspy.Type):  # type: ignore[misc] # DSPy has no types
    """A custom type of a user, with a description and a format of its own."""

    title: str
    hour: int = 0

    def format(self) -> list[dict[str, Any]]:
        return [{"type": "text", "text": f"<event>{self.title} at {self.hour}</event>"}]

    @classmethod
    def description(cls) -> str:
        return "An event of a calendar."


class Plain:
    """An object that only has a text."""

    def __str__(self) -> str:
        return "plain text of an object"

    __repr__ = __str__


class Shout(str):
    """A text of a class of its own."""

    __slots__ = ()

    def __str__(self) -> str:
        return self.upper()


class Everything(dspy.Signature):  # type: ignore[misc] # DSPy has no types
    """Fields of many types, with descriptions, constraints and defaults."""

    text: str = dspy.InputField(desc="some text, with ${dollars} and {braces}")
    number: int = dspy.InputField(desc="a number", ge=1, le=10)
    ratio: float = dspy.InputField(default=0.25)
    flag: bool = dspy.InputField(default=False)
    names: list[str] = dspy.InputField()
    table: dict[str, int] = dspy.InputField()
    person: Person = dspy.InputField(desc="who")
    maybe: str | None = dspy.InputField()
    colour: Colour = dspy.OutputField()
    kind: Literal["a", "b c", "it's", 'say "x"', 3, True, None] = dspy.OutputField(desc="which one")  # noqa: PYI061 - None among literals is the case
    points: list[Point] = dspy.OutputField(max_length=3)
    score: float = dspy.OutputField(desc="in [0, 1]", gt=0.0, lt=1.0)
    either: int | str = dspy.OutputField()


class Undescribed(dspy.Signature):  # type: ignore[misc] # DSPy has no types
    question = dspy.InputField()
    answer = dspy.OutputField()


class Defaults(dspy.Signature):  # type: ignore[misc] # DSPy has no types
    """Outputs that may be missing."""

    question: str = dspy.InputField(default="What else?")
    answer: str = dspy.OutputField()
    remark: str | None = dspy.OutputField()
    tags: list[str] = dspy.OutputField(default_factory=list)
    rank: int = dspy.OutputField(default=7)


class Chat(dspy.Signature):  # type: ignore[misc] # DSPy has no types
    """Answer within a conversation."""

    history: dspy.History = dspy.InputField()
    question: str = dspy.InputField()
    answer: str = dspy.OutputField()


class Native(dspy.Signature):  # type: ignore[misc] # DSPy has no types
    """Choose tools."""

    question: str = dspy.InputField()
    tools: list[dspy.Tool] = dspy.InputField()
    calls: dspy.ToolCalls = dspy.OutputField()
