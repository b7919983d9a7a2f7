"""Stage: generation. Reads training problems and a language model or an endpoint; writes new solutions, graded, into the project."""

from active_learning.sampling.running import Generated, generate
from active_learning.sampling.settings import BadGeneration, check

__all__ = ["BadGeneration", "Generated", "check", "generate"]
