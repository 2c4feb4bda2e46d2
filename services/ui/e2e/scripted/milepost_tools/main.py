"""In the place of `milepost-tools` in the tests: a service that is named in SCRIPTED answers by a script.

`milepost up` starts it as it starts the real one, which does the work of every other service of the kind.
"""

import os
import runpy
import sys
from pathlib import Path

import yaml

HERE = Path(__file__).resolve().parent.parent
SCRIPT = HERE.parents[3] / "tests" / "integration" / "scripted_service.py"
SCRIPTED = ("writer", "editor")
REJECTIONS = "1"  # the first review of a run asks for changes


def main() -> None:
    service = yaml.safe_load(Path(os.environ["MILEPOST_SERVICE_FILE"]).read_text())
    name = service["metadata"]["name"]
    if name in SCRIPTED:
        os.environ["SCRIPTED_NAME"] = name
        os.environ["SCRIPTED_CAPABILITIES"] = ",".join(service["spec"]["capabilities"])
        os.environ["SCRIPTED_REJECTIONS"] = REJECTIONS
        os.environ["SCRIPTED_NUMBERED"] = "yes"
        runpy.run_path(str(SCRIPT), run_name="__main__")
        return
    sys.path[:] = [path for path in sys.path if Path(path or ".").resolve() != HERE]
    for module in [module for module in sys.modules if module.split(".")[0] == "milepost_tools"]:
        del sys.modules[module]
    __import__("milepost_tools.main").main.main()
