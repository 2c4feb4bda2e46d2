"""`python -m milepost_agent`."""

from milepost_agent.main import main

main()
