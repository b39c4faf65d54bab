"""`python -m safety_gym.cli`: the `safety-gym` command without an installation."""

from safety_gym.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
