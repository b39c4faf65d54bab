"""The reference suite's place for `SafetySyncVectorEnv`."""

from safety_gym.vector import SafetySyncVectorEnv

__all__ = ["SafetySyncVectorEnv"]
