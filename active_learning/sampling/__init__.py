"""Stage: sampling. Reads training problems and a language model or an endpoint; writes new solutions, graded, into the project."""

from active_learning.sampling.running import SamplingReport, sample
from active_learning.sampling.settings import BadSampling, check

__all__ = ["BadSampling", "SamplingReport", "check", "sample"]
