"""Run the comparison with `python -m benchmarks.regression`."""

import sys

from benchmarks.regression.cli import main

if __name__ == "__main__":
    sys.exit(main())
