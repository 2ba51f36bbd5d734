"""The fast path: DSPy's own modules with what they work out anew at each call worked out once."""

from agent_service.programs.fast.acceleration import Acceleration, accelerate, prepare

__all__ = ["Acceleration", "accelerate", "prepare"]
