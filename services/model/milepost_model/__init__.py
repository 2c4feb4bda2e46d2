"""A GGUF model on llama.cpp behind gRPC: ModelService for tokens, CapabilityService for work in a role."""

from milepost_model.engine import Choice, Engine, Scored
from milepost_model.generation import Finished
from milepost_model.sampler import Sampling
from milepost_model.settings import ModelSettings

__all__ = ["Choice", "Engine", "Finished", "ModelSettings", "Sampling", "Scored"]
