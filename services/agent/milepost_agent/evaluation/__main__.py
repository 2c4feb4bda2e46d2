"""`python -m milepost_agent.evaluation`."""

import logging
import sys

from milepost_agent.evaluation.command import main

if __name__ == "__main__":
    logging.getLogger("milepost_agent").setLevel(logging.ERROR)  # the report itself says which path answers, and why
    sys.exit(main())
