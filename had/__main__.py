"""``python -m had``: the same as the command ``had``."""

import sys

from had.cli.had import main

sys.exit(main())
