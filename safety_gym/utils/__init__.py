"""Where the reference suite has its helpers: `safety_gym.utils.registration`."""
