"""`python -m milepost_agent.evaluation`."""

import sys

from milepost_agent.evaluation.command import main

if __name__ == "__main__":
    sys.exit(main())
