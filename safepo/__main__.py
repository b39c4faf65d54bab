"""`python -m safepo` is the `safepo` command."""

import sys

from safepo.cli import main

sys.exit(main())
