"""The program behind FastAPI in the style of DSPy's deployment tutorial: ``dspy.asyncify``."""

from __future__ import annotations

from typing import Any

import dspy
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

from agent_service.loadtest.baselines.program import language_model, served_program

app = FastAPI(title="DSPy program API", description="A simple API serving a DSPy program", version="1.0.0")


class Question(BaseModel):
    """What is posted."""

    text: str


program, inputs = served_program()
dspy.configure(lm=language_model())
dspy_program = dspy.asyncify(program)


@app.post("/predict")
async def predict(question: Question) -> dict[str, Any]:
    """Answer one question."""
    try:
        result = await dspy_program(**inputs(question.text))
        return {"status": "success", "data": result.toDict()}
    except Exception as e:  # as in the tutorial
        raise HTTPException(status_code=500, detail=str(e)) from e
