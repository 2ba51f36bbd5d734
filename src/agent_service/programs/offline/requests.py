"""What a question wants of the tools: arithmetic, the time, a conversion of units."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CALCULATOR = "calculator"
CURRENT_TIME = "current_time"
CONVERT_UNITS = "convert_units"

_LONGEST_QUESTION_CHARACTERS = 1000
_LONGEST_EXPRESSION_CHARACTERS = 200
_LONGEST_NUMBER_CHARACTERS = 20

_NUMBER_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_WORDS = {
    **{word: str(number) for number, word in enumerate(_NUMBER_WORDS)},
    "plus": "+",
    "minus": "-",
    "times": "*",
    "multiplied by": "*",
    "divided by": "/",
    "to the power of": "**",
    "raised to the power of": "**",
    "squared": "** 2",
    "cubed": "** 3",
    "modulo": "%",
    "mod": "%",
}
_WORD = re.compile(rf"\b(?:{'|'.join(sorted(_WORDS, key=len, reverse=True))})\b")
_SYMBOLS = str.maketrans(
    {
        "\N{MULTIPLICATION SIGN}": "*",
        "\N{DIVISION SIGN}": "/",
        "\N{MINUS SIGN}": "-",
        "^": "**",
        "\N{RIGHT SINGLE QUOTATION MARK}": "'",
    }
)
_FUNCTIONS = frozenset({"abs", "cos", "exp", "log", "pi", "round", "sin", "sqrt", "tan"})
_NUMBER = r"[0-9]+(?:\.[0-9]+)?"
_REWRITES = (
    (re.compile(r"\b[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}\b"), "a date"),
    (re.compile(r"(?<=[0-9]),(?=[0-9]{3}\b)"), ""),
    (re.compile(rf"({_NUMBER})\s?(?:%|percent|per cent) of\b"), r"\1 / 100 *"),
    (re.compile(rf"\bsquare root of ({_NUMBER})"), r"sqrt(\1)"),
    (re.compile(rf"({_NUMBER})\s?x\s?(?=[0-9(])"), r"\1 * "),
)
_TOKEN = re.compile(rf"{_NUMBER}|\*\*|[-+*/%()]|[a-z]+|[ ]+|.", re.DOTALL)
_MATHS = re.compile(rf"{_NUMBER}|\*\*|[-+*/%()]|[ ]+")
_CALCULATE = re.compile(
    r"\b(?:what is|what's|what are|how much|how many|calculate|compute|evaluate|solve|work out|equals?)\b|="
)

ZONE_OF_PLACE = {
    "utc": "UTC",
    "gmt": "UTC",
    "london": "Europe/London",
    "paris": "Europe/Paris",
    "berlin": "Europe/Berlin",
    "madrid": "Europe/Madrid",
    "rome": "Europe/Rome",
    "zurich": "Europe/Zurich",
    "moscow": "Europe/Moscow",
    "istanbul": "Europe/Istanbul",
    "cairo": "Africa/Cairo",
    "nairobi": "Africa/Nairobi",
    "johannesburg": "Africa/Johannesburg",
    "dubai": "Asia/Dubai",
    "india": "Asia/Kolkata",
    "delhi": "Asia/Kolkata",
    "mumbai": "Asia/Kolkata",
    "singapore": "Asia/Singapore",
    "hong kong": "Asia/Hong_Kong",
    "beijing": "Asia/Shanghai",
    "shanghai": "Asia/Shanghai",
    "seoul": "Asia/Seoul",
    "tokyo": "Asia/Tokyo",
    "sydney": "Australia/Sydney",
    "auckland": "Pacific/Auckland",
    "new york": "America/New_York",
    "toronto": "America/Toronto",
    "chicago": "America/Chicago",
    "denver": "America/Denver",
    "los angeles": "America/Los_Angeles",
    "san francisco": "America/Los_Angeles",
    "sao paulo": "America/Sao_Paulo",
}
_ZONE_WORD = re.compile(rf"\b(?:{'|'.join(ZONE_OF_PLACE)})\b")
_ZONE_NAME = re.compile(r"\b[A-Z][a-z]+/[A-Z][A-Za-z_]+\b")
_TIME = re.compile(
    r"\bwhat time (?:is it|it is)\b"
    r"|\b(?:what is|what's|tell me) (?:the )?(?:time|date)\b(?=\W*$| (?:now|today|right|in|please|and)\b)"
    r"|\b(?:current|local) (?:time|date)\b"
    r"|\btoday's date\b|\b(?:time|date) (?:now|right now|today)\b"
    r"|\b(?:what|which) (?:day|year|month) (?:is|it|of the week)\b|\bwhat(?:'s| is) today\b"
)

_UNITS = {
    "mm": "mm millimeter millimetre millimeters millimetres",
    "cm": "cm centimeter centimetre centimeters centimetres",
    "m": "m meter metre meters metres",
    "km": "km kilometer kilometre kilometers kilometres kms",
    "inch": "inch inches",
    "foot": "foot feet ft",
    "yard": "yard yards yd",
    "mile": "mile miles mi",
    "mg": "mg milligram milligrams",
    "gram": "gram grams g",
    "kg": "kg kilogram kilograms kilo kilos kgs",
    "ounce": "ounce ounces oz",
    "pound": "pound pounds lb lbs",
    "ml": "ml milliliter millilitre milliliters millilitres",
    "liter": "liter litre liters litres l",
    "gallon": "gallon gallons",
    "celsius": "celsius centigrade c",
    "fahrenheit": "fahrenheit f",
    "kelvin": "kelvin k",
    "second": "second seconds sec secs",
    "minute": "minute minutes min mins",
    "hour": "hour hours h hrs",
    "day": "day days",
    "week": "week weeks",
}
UNIT_OF_WORD = {word: unit for unit, words in _UNITS.items() for word in words.split()}
_UNIT = rf"(?:degrees? |°)?({'|'.join(sorted(UNIT_OF_WORD, key=len, reverse=True))})\b"
_CONVERT = re.compile(rf"(?P<value>-?{_NUMBER})\s?{_UNIT} (?:to|in|into|as) {_UNIT}")
_HOW_MANY = re.compile(
    rf"\bhow many {_UNIT} (?:are |is )?(?:there )?(?:(?:in|is|are|make) )?(?P<value>an? |{_NUMBER}\s?){_UNIT}"
)


@dataclass(frozen=True, slots=True)
class ToolRequest:
    """A tool by name, and the arguments to call it with."""

    tool: str
    arguments: Mapping[str, Any]


def tool_requests(question: str) -> tuple[ToolRequest, ...]:
    """The tool calls that would answer ``question``, at most one of each tool, in the order to make them."""
    asked = question[:_LONGEST_QUESTION_CHARACTERS].translate(_SYMBOLS)
    text = _normal(asked)
    conversion, rest = _conversion(text)
    expression = _expression(rest)
    requests = [conversion] if conversion else []
    if expression:
        requests.append(ToolRequest(CALCULATOR, {"expression": expression}))
    if _TIME.search(text):
        requests.append(ToolRequest(CURRENT_TIME, {"timezone": _zone(asked, text)}))
    return tuple(requests)


def _normal(asked: str) -> str:
    """Lower case, one blank between words, numbers and operators as signs."""
    text = " ".join(asked.lower().split())
    text = _WORD.sub(lambda match: _WORDS[match[0]], text)
    for pattern, replacement in _REWRITES:
        text = pattern.sub(replacement, text)
    return text


def _zone(asked: str, text: str) -> str:
    named = _ZONE_NAME.search(asked)
    if named:
        return named[0]
    city = _ZONE_WORD.search(text)
    return ZONE_OF_PLACE[city[0]] if city else "UTC"


def _conversion(text: str) -> tuple[ToolRequest | None, str]:
    """The conversion that is asked for, if any, and the text without it."""
    match = _CONVERT.search(text)
    if match:
        source, target = match[2], match[3]
    else:
        match = _HOW_MANY.search(text)
        if not match:
            return None, text
        target, source = match[1], match[3]
    value = match["value"].strip()
    arguments = {
        "value": 1 if value.startswith("a") else _number(value),
        "from_unit": UNIT_OF_WORD[source],
        "to_unit": UNIT_OF_WORD[target],
    }
    return ToolRequest(CONVERT_UNITS, arguments), f"{text[: match.start()]}, {text[match.end() :]}"


def _number(value: str) -> float:
    digits = value[:_LONGEST_NUMBER_CHARACTERS]
    return float(digits) if "." in digits else int(digits)


def _expression(text: str) -> str | None:
    """The longest arithmetic in ``text``, when a result is asked for or there is nothing else."""
    found = max((run for run in _runs(text) if _is_arithmetic(run)), key=len, default=None)
    if found is None:
        return None
    around = text.replace(found, " ", 1)
    asks = _CALCULATE.search(around) or not re.search(r"[^\W\d_]", around)
    return found if asks else None


def _runs(text: str) -> Iterator[str]:
    """Stretches of numbers, operators and functions."""
    run = ""
    for token in [*_TOKEN.findall(text), "\n"]:
        if _MATHS.fullmatch(token) or token in _FUNCTIONS:
            run += token
            continue
        yield run.rstrip("-+*/%( ").lstrip("*/%) ")
        run = ""


def _is_arithmetic(run: str) -> bool:
    if not run or len(run) > _LONGEST_EXPRESSION_CHARACTERS:
        return False
    try:
        tree = ast.parse(run, mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return False
    return any(isinstance(node, (ast.BinOp, ast.Call)) for node in ast.walk(tree))
