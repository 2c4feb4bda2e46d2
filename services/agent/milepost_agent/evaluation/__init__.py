"""How right, how sure and how fast the router is on labelled queries: what `milepost router eval` runs.

`python -m milepost_agent.evaluation --data FILE.jsonl` is the same command where there is no CLI. `queries` says what
is right over which services, `answers` asks the router, `metrics` defines every number, `baselines` are what the
router has to beat, `report` and `diagram` show it.
"""
