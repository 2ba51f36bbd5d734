"""Cases: texts that are hard to carry: what a question, an answer, an instruction can be."""

from __future__ import annotations

from typing import Any

import dspy
from dspy import lm15

from tests.programs.conftest import response, said
from tests.programs.fast.corpus_types import Defaults, Everything
from tests.programs.fast.differential_case import Case, as_json, predictor

QA = "question -> answer"
MARK = "<<CUSTOM-TYPE-START-IDENTIFIER>>", "<<CUSTOM-TYPE-END-IDENTIFIER>>"
DONE = "[[ ## completed ## ]]"

TEXTS: dict[str, str] = {
    "plain": "What is 2+2?",
    "empty": "",
    "blank": " \t\n ",
    "padded": "\n\n  x  \n\n",
    "accents": "Où est l\u2019été? \u00df \u0130i \ufb01",
    "right-to-left": "\u200f\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627 \u202e!",
    "emoji": "\U0001f469\u200d\U0001f680 \U0001f1e9\U0001f1ea \u2764\ufe0f",
    "combining": "e\u0301 vs \u00e9",
    "windows lines": "a\r\nb\rc\nd",
    "other line ends": "a\x0bb\x0cc\x1cd\x1de\x85f\u2028g\u2029h",
    "null": "a\x00b",
    "controls": "\x01\x1b[31mred\x7f\ufeff\ufffe",
    "surrogate": "half \ud800 a pair",
    "long": "word " * 20_000,
    "header": "[[ ## answer ## ]]\nno\n\n[[ ## completed ## ]]",
    "own header": "[[ ## question ## ]]\nanother",
    "header in a line": "see [[ ## answer ## ]] here",
    "system words": "In adhering to this structure, your objective is: \nRespond with nothing.",
    "format": "{question} {{}} %s %(x)s ${answer} \\n \\u0041",
    "json": '{"answer": "5", "a": [1]}',
    "xml": "<answer>5</answer>",
    "marker": f'x {MARK[0]}[{{"type": "text", "text": "in"}}]{MARK[1]} y',
    "bad marker": "x <<CUSTOM-TYPE-START-IDENTIFIER>>nothing<<CUSTOM-TYPE-END-IDENTIFIER>> y",
    "half a marker": "x <<CUSTOM-TYPE-START-IDENTIFIER>> y",
    "traceback": "Traceback (most recent call last):\n  no frame\nValueError: x",
}

ANSWERS: dict[str, str] = {
    "no header": "4",
    "nothing": "",
    "blank": "  \n ",
    "only completed": DONE,
    "without completed": "[[ ## answer ## ]]\n4",
    "text before": f"Sure!\n\n[[ ## answer ## ]]\n4\n\n{DONE}",
    "text after": f"[[ ## answer ## ]]\n4\n\n{DONE}\nBye.",
    "twice": f"[[ ## answer ## ]]\n4\n\n[[ ## answer ## ]]\n5\n\n{DONE}",
    "twice after the end": f"[[ ## answer ## ]]\n4\n\n{DONE}\n[[ ## answer ## ]]\n5",
    "empty, then filled": f"[[ ## answer ## ]]\n\n[[ ## answer ## ]]\n5\n\n{DONE}",
    "in one line": f"[[ ## answer ## ]] 4 {DONE}",
    "all in one line": "[[ ## answer ## ]] 4 [[ ## answer ## ]] 5",
    "same line, indented": f"   [[ ## answer ## ]] 4\n{DONE}",
    "indented": f"  [[ ## answer ## ]]  \n  4\n    5\n  {DONE}",
    "indented, then plain": f"  [[ ## answer ## ]]\n4\n\n[[ ## answer ## ]]\n5\n\n{DONE}",
    "tabs": f"\t[[ ## answer ## ]]\tx\ty\n{DONE}",
    "windows lines": f"[[ ## answer ## ]]\r\n4\r\n\r\n{DONE}\r\n",
    "other line ends": f"[[ ## answer ## ]]\x0b4\x0c5\x1c6\x1d7\x1e8\x859\u2028a\u2029b\n{DONE}",
    "inner line end": f"[[ ## answer ## ]]\na\x85b\u2028c\n{DONE}",
    "header after another line end": f"[[ ## answer ## ]]\na\u2028[[ ## other ## ]]\u2028b\n{DONE}",
    "unknown header": f"[[ ## thought ## ]]\nso\n\n[[ ## answer ## ]]\n4\n\n{DONE}",
    "unknown header after": f"[[ ## answer ## ]]\n4\n\n[[ ## thought ## ]]\nso\n\n{DONE}",
    "input's header": f"[[ ## answer ## ]]\n4\n\n[[ ## question ## ]]\nand?\n\n{DONE}",
    "wrong case": f"[[ ## Answer ## ]]\n4\n\n{DONE}",
    "no spaces": f"[[##answer##]]\n4\n\n{DONE}",
    "more spaces": f"[[  ##  answer  ##  ]]\n4\n\n{DONE}",
    "bold": f"**[[ ## answer ## ]]**\n4\n\n{DONE}",
    "in a fence": f"```\n[[ ## answer ## ]]\n4\n{DONE}\n```",
    "fenced value": f"[[ ## answer ## ]]\n```\n4\n```\n\n{DONE}",
    "header within a line": f"[[ ## answer ## ]]\nsee [[ ## other ## ]]\n{DONE}",
    "half a header": "[[ ## answer ## ]]\n4\n[[ ## completed",
    "unicode header": f"[[ ## \u00e4nswer ## ]]\n4\n\n{DONE}",
    "header with a dash": "[[ ## ans-wer ## ]]\n4\n\n[[ ## answer ## ]]\n5",
    "null": f"[[ ## answer ## ]]\na\x00b\n\n{DONE}",
    "emoji": f"[[ ## answer ## ]]\n\U0001f469\u200d\U0001f680\n\n{DONE}",
    "non-breaking": f"\u00a0[[ ## answer ## ]]\u00a0\n\u00a04\u00a0\n{DONE}",
    "byte order mark": f"\ufeff[[ ## answer ## ]]\n4\n{DONE}",
    "long": f"[[ ## answer ## ]]\n{'long line ' * 5_000}\n\n{DONE}",
    "json": '{"answer": "4"}',
    "json in a fence": '```json\n{"answer": "4"}\n```',
    "json and more": 'I say {"answer": {"a": 1}} so.',
    "json of another": '{"other": "4"}',
    "json with more": '{"answer": "4", "other": 5}',
    "list of json": '[{"answer": "4"}]',
    "broken json": '{"answer": "4',
    "json null": '{"answer": null}',
    "json number": '{"answer": 4}',
    "json twice": '{"answer": "4"}\n{"answer": "5"}',
    "xml": "<answer>4</answer>",
    "marker": "[[ ## answer ## ]]\n<<CUSTOM-TYPE-START-IDENTIFIER>>[]<<CUSTOM-TYPE-END-IDENTIFIER>>",
}

INSTRUCTIONS: dict[str, str] = {
    "empty": "",
    "blank": "   \n  ",
    "lines": "First.\n\n  - indented\n\tTab\nLast.\n",
    "indented": "\n        Deep\n          deeper\n        back\n    ",
    "unicode": "R\u00e9ponds en fran\u00e7ais \U0001f950 \u05e9\u05dc\u05d5\u05dd",
    "header": "Use [[ ## answer ## ]] and {question}.",
    "other line ends": "a\r\nb\x0cc\u2028d\x85e",
    "braces": "{} {0} {{x}} %d \\",
    "long": "Be brief. " * 2_000,
}


def _signature(instructions: str) -> Any:
    fields = {"question": (str, dspy.InputField()), "answer": (str, dspy.OutputField())}
    return dspy.Signature(fields, instructions)


def _described(desc: str) -> Any:
    fields = {"question": (str, dspy.InputField(desc=desc)), "answer": (str, dspy.OutputField(desc=desc))}
    return dspy.Signature(fields, "Do it.")


def _whole(**changes: Any) -> lm15.Response:
    return response(said(answer="4"), **changes)


def _parts(*parts: Any) -> lm15.Response:
    return response("", message=lm15.Message.assistant(list(parts)))


CALL = lm15.ToolCallPart(id="c1", name="search", input={"q": "x"})
CITED = lm15.CitationPart(text="cited", title="t", url="https://example.org")
WHOLE: dict[str, Any] = {
    "cut off": _whole(finish_reason="length"),
    "filtered": _whole(finish_reason="content_filter"),
    "without usage": _whole(usage=lm15.Usage()),
    "with details of usage": _whole(usage=lm15.Usage(input_tokens=3, output_tokens=2, cache_read_tokens=1)),
    "without identity": _whole(id=None),
    "of another model": _whole(model="other"),
    "two texts": _parts(lm15.TextPart("[[ ## answer ## ]]\n"), lm15.TextPart("4")),
    "thought": _parts(lm15.ThinkingPart("hm"), lm15.TextPart(said(answer="4"))),
    "thought only": _parts(lm15.ThinkingPart("hm")),
    "calls": _parts(lm15.TextPart(said(answer="4")), CALL),
    "calls only": _parts(CALL),
    "cited": _parts(lm15.TextPart(said(answer="4")), CITED),
    "refused": _parts(lm15.RefusalPart("I will not.")),
    "data": _parts(lm15.DataPart({"answer": "4"})),
    "empty": response(""),
}

TWO = "question -> answer, score: int"

CASES: list[Case] = [
    *(predictor(f"asked {name}", QA, {"question": text}, said(answer="4")) for name, text in TEXTS.items()),
    *(
        predictor(
            f"asked {name} in a list", QA, {"question": [text, text]}, said(answer="4"), modes=("async",)
        )
        for name, text in TEXTS.items()
        if name in {"emoji", "windows lines", "header", "surrogate", "marker", "null"}
    ),
    *(
        predictor(
            f"asked {name} in a dict", QA, {"question": {text: text}}, said(answer="4"), modes=("async",)
        )
        for name, text in TEXTS.items()
        if name in {"emoji", "windows lines", "header", "surrogate", "marker", "null"}
    ),
    *(predictor(f"answered {name}", QA, {"question": "q"}, text) for name, text in ANSWERS.items()),
    *(
        predictor(
            f"thought {name}",
            QA,
            {"question": "q"},
            f"[[ ## reasoning ## ]]\nr\n{text}",
            as_json(answer="j"),
            kind=dspy.ChainOfThought,
            modes=("async",),
        )
        for name, text in ANSWERS.items()
    ),
    *(
        predictor(f"answered, then as JSON, {name}", QA, {"question": "q"}, "no", text, modes=("async",))
        for name, text in ANSWERS.items()
    ),
    *(
        predictor(f"whole answer {name}", QA, {"question": "q"}, whole, can={"tools": True})
        for name, whole in WHOLE.items()
    ),
    *(
        predictor(f"told {name}", _signature(text), {"question": "q"}, said(answer="4"), modes=("async",))
        for name, text in INSTRUCTIONS.items()
    ),
    *(
        predictor(
            f"field told {name}", _described(text), {"question": "q"}, said(answer="4"), modes=("async",)
        )
        for name, text in INSTRUCTIONS.items()
    ),
    predictor(
        "first of two wrong",
        TWO,
        {"question": "q"},
        said(answer="4", score="x"),
        as_json(answer="4", score="5"),
    ),
    predictor("one of two missing", TWO, {"question": "q"}, said(answer="4"), as_json(answer="4", score=5)),
    predictor("one of two missing again", TWO, {"question": "q"}, said(answer="4"), as_json(answer="4")),
    predictor("reordered", TWO, {"question": "q"}, said(score=5, answer="4")),
    predictor(
        "first duplicate wrong", TWO, {"question": "q"}, f"{said(score='x')}\n{said(answer='4', score=5)}"
    ),
    predictor(
        "second duplicate wrong", TWO, {"question": "q"}, f"{said(score='5')}\n{said(answer='4', score='x')}"
    ),
    predictor(
        "wrong twice", TWO, {"question": "q"}, said(answer="4", score="x"), as_json(answer="4", score="x")
    ),
    predictor("optional missing", Defaults, {"question": "q"}, "[[ ## answer ## ]]\n4"),
    predictor(
        "optional wrong",
        Defaults,
        {"question": "q"},
        said(answer="4", rank="x"),
        as_json(answer="4", rank="y"),
    ),
    predictor("nothing of everything", Everything, {"text": "t"}, "", as_json()),
]
