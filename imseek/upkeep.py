"""The name of :mod:`imseek.maintenance` until version 0.2: kept for programs that import it."""

import sys

from imseek import maintenance

sys.modules[__name__] = maintenance
