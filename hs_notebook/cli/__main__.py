"""`python -m hs_notebook.cli`."""

import sys

from hs_notebook.cli import main

if __name__ == "__main__":
    sys.exit(main())
