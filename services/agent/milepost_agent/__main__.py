"""`python -m milepost_agent` and `milepost-agent`: leaves out what is not needed, then imports the agent."""

from milepost_agent.absent import leave_out
from milepost_agent.collector import pause


def main() -> None:
    """Entry point `milepost-agent`."""
    pause()
    leave_out()
    from milepost_agent.main import main as run  # noqa: PLC0415 - after what is to be left out

    run()


if __name__ == "__main__":
    main()
