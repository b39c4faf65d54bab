"""Safe DreamerV3: learning to act safely in a learned world model (see `agent.py`)."""
