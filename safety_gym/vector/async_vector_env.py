"""The reference suite's place for `SafetyAsyncVectorEnv`."""

from safety_gym.vector import SafetyAsyncVectorEnv

__all__ = ["SafetyAsyncVectorEnv"]
