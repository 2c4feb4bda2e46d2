"""`python -m milepost_cli` is `milepost`."""

import sys

from milepost_cli.main import main

sys.exit(main())
