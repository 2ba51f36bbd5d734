"""The tools of the built-in agent: arithmetic, the clock, units. The agent reads their docstrings."""

from __future__ import annotations

import ast
import datetime as dt
import math
import operator
from contextlib import contextmanager
from fractions import Fraction
from typing import TYPE_CHECKING, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_MAX_EXPRESSION_CHARS = 200
_MAX_EXPONENT = 1_000
_MAX_DIGITS = 1_000
_LARGEST = 10**_MAX_DIGITS

_BINARY: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_UNARY: dict[type[ast.unaryop], Callable[[float], float]] = {ast.UAdd: operator.pos, ast.USub: operator.neg}


def _round(number: float, digits: int = 0) -> float:
    """``round`` within reason: with a million digits Python's own takes the machine's memory."""
    if abs(digits) > _MAX_DIGITS:
        raise ValueError
    return round(number, digits) if digits else round(number)


_FUNCTIONS: dict[str, Callable[..., float]] = {
    "abs": abs,
    "ceil": math.ceil,
    "cos": math.cos,
    "exp": math.exp,
    "floor": math.floor,
    "log": math.log,
    "log10": math.log10,
    "max": max,
    "min": min,
    "round": _round,
    "sin": math.sin,
    "sqrt": math.sqrt,
    "tan": math.tan,
}
_CONSTANTS = {"pi": math.pi, "e": math.e}


def calculator(expression: str) -> str:
    """Evaluate an arithmetic expression, for example "2 * (3 + 4) ** 2" or "sqrt(2) + pi"."""
    if len(expression) > _MAX_EXPRESSION_CHARS:
        raise ValueError(f"the expression is longer than {_MAX_EXPRESSION_CHARS} characters")
    try:
        tree = ast.parse(expression.strip().replace("^", "**"), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ValueError("this is not an arithmetic expression") from None
    return _shown(_value(tree.body))


def current_time(timezone: str = "UTC") -> str:
    """Tell the current date and time in a time zone, for example "UTC" or "Europe/Berlin"."""
    try:
        zone = dt.timezone.utc if timezone.upper() in {"UTC", "GMT", "Z"} else ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("no such time zone; use a name like UTC or Europe/Berlin") from None
    return dt.datetime.now(zone).strftime("%A, %Y-%m-%d %H:%M:%S %Z")


def convert_units(value: float, from_unit: str, to_unit: str) -> str:
    """Convert a value between units of length, mass, volume, time, speed, data or temperature."""
    source, target = _unit(from_unit), _unit(to_unit)
    if source.quantity != target.quantity:
        raise ValueError(f"{from_unit} is a unit of {source.quantity}, {to_unit} of {target.quantity}")
    with _in_words():
        if not math.isfinite(value):
            raise ValueError("the value is not a finite number")
        base = Fraction(str(value)) * source.scale + source.offset
        result = float((base - target.offset) / target.scale)
    return f"{_shown(value)} {from_unit} = {_shown(result)} {to_unit}"


BUILTIN_TOOLS = (calculator, current_time, convert_units)
BRIEF_TOOLS = (calculator, convert_units)
"""Those that wait for nothing and take microseconds whatever they are asked."""


def _value(node: ast.expr) -> float:
    """The value of a parsed expression, which may hold numbers, operators and the functions above only."""
    if isinstance(node, ast.Constant) and type(node.value) in {int, float}:
        return cast("float", node.value)
    if isinstance(node, ast.Name) and node.id in _CONSTANTS:
        return _CONSTANTS[node.id]
    if isinstance(node, ast.UnaryOp) and type(node.op) in _UNARY:
        return _UNARY[type(node.op)](_value(node.operand))
    if isinstance(node, ast.BinOp):
        return _bounded(_operation(node.op, _value(node.left), _value(node.right)))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _FUNCTIONS:
        if node.keywords:
            raise ValueError("functions take plain numbers only")
        return _bounded(_application(node.func.id, [_value(argument) for argument in node.args]))
    raise ValueError("only numbers, + - * / // % **, brackets and common functions are allowed")


def _operation(symbol: ast.operator, left: float, right: float) -> float:
    with _in_words():
        if isinstance(symbol, ast.Pow):
            return _power(left, right)
        if type(symbol) in _BINARY:
            return _BINARY[type(symbol)](left, right)
    raise ValueError("this operator is not allowed")


def _application(function: str, arguments: list[float]) -> float:
    with _in_words():
        try:
            return _FUNCTIONS[function](*arguments)
        except (TypeError, ValueError):
            raise ValueError(f"the arguments of {function} are not right") from None


def _power(base: float, exponent: float) -> float:
    """Refuses powers whose result would take the machine's memory or leave the real numbers."""
    digits = abs(exponent) * math.log10(max(abs(base), 1))
    if abs(exponent) > _MAX_EXPONENT or digits > _MAX_DIGITS:
        raise ValueError("the result is too large")
    result = base**exponent
    if isinstance(result, complex):
        raise ValueError("the result is not a real number")  # noqa: TRY004 - the caller's value is wrong, not its type
    return cast("float", result)


def _bounded(number: float) -> float:
    """Whole numbers have no end of their own."""
    if isinstance(number, int) and abs(number) > _LARGEST:
        raise ValueError("the result is too large")
    return number


@contextmanager
def _in_words() -> Iterator[None]:
    """Within, what goes wrong in arithmetic is said as an agent can read it."""
    try:
        yield
    except ZeroDivisionError:
        raise ValueError("division by zero") from None
    except OverflowError:
        raise ValueError("the result is too large") from None


def _shown(number: float) -> str:
    """Digits as a person writes them: no ``.0``, no noise of the last bits."""
    if isinstance(number, int):
        return str(number)
    if not math.isfinite(number):
        raise ValueError("the result is not a finite number")
    return str(int(number)) if number == int(number) and abs(number) < 10**15 else f"{number:.15g}"


class _Unit:
    """A unit as ``base = value * scale + offset``, in exact fractions."""

    def __init__(self, quantity: str, scale: float | Fraction, offset: Fraction | int = 0) -> None:
        self.quantity = quantity
        self.scale = Fraction(str(scale))
        self.offset = offset


_SCALES: dict[str, dict[str, float | Fraction]] = {
    "length": {
        "m metre meter": 1,
        "km kilometre kilometer": 1000,
        "cm centimetre centimeter": 0.01,
        "mm millimetre millimeter": 0.001,
        "mi mile": 1609.344,
        "yd yard": 0.9144,
        "ft foot feet": 0.3048,
        "in inch inche": 0.0254,
        "nmi": 1852,
    },
    "mass": {
        "kg kilogram kilo": 1,
        "g gram": 0.001,
        "mg milligram": 1e-6,
        "t tonne": 1000,
        "lb pound lbs": 0.45359237,
        "oz ounce": 0.028349523125,
        "st stone": 6.35029318,
    },
    "volume": {
        "l litre liter": 1,
        "ml millilitre milliliter": 0.001,
        "gal gallon": 3.785411784,
        "pt pint": 0.473176473,
        "cup": 0.2365882365,
    },
    "time": {
        "s sec second": 1,
        "ms millisecond": 0.001,
        "min minute": 60,
        "h hr hour": 3600,
        "d day": 86_400,
        "week": 604_800,
    },
    "speed": {"m/s": 1, "km/h kph kmh": Fraction(5, 18), "mph": 0.44704, "kn knot": 1852 / 3600},
    "data": {"b byte": 1, "kb kilobyte": 1e3, "mb megabyte": 1e6, "gb gigabyte": 1e9, "tb terabyte": 1e12},
}
_ICE_KELVIN = Fraction("273.15")
_UNITS = {
    name: _Unit(quantity, scale)
    for quantity, units in _SCALES.items()
    for names, scale in units.items()
    for name in names.split()
} | {
    **dict.fromkeys(("k", "kelvin"), _Unit("temperature", 1)),
    **dict.fromkeys(("c", "°c", "celsius", "centigrade"), _Unit("temperature", 1, _ICE_KELVIN)),
    **dict.fromkeys(
        ("f", "°f", "fahrenheit"), _Unit("temperature", Fraction(5, 9), _ICE_KELVIN - 32 * Fraction(5, 9))
    ),
}


def _unit(name: str) -> _Unit:
    key = name.strip().lower().removeprefix("degrees ").removeprefix("degree ")
    found = _UNITS.get(key) or _UNITS.get(key.removesuffix("s"))
    if found is None:
        raise ValueError(f"the unit {name!r} is not known")
    return found
