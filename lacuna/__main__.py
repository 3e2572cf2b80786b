"""``python -m lacuna``."""

import sys

from lacuna.cli import main

if __name__ == '__main__':
    sys.exit(main())
