"""`make kill-matrix`: kills a real agent at every passage of every failpoint; nothing may be lost or repeated.

Services in processes of their own count every call by its id. After each kill the agent is started again, the run goes
on to its end, and the services, the journal and the file are held against each other. The last line is
`N kill points: N resumed, 0 lost, 0 completed calls repeated`; the exit code is 0 only if that is so.
"""

import argparse
import os
import queue
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import matrix_memory
import matrix_table
from matrix_points import ELSEWHERE, OUT_OF_MEMORY, Series, all_series
from matrix_worker import Result, Worker
from matrix_zygote import Zygote
from milepost_agent.failpoints import FAILPOINTS

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "durability.md"


@dataclass
class Matrix:
    """All series, several at once."""

    series: Sequence[Series]
    results: list[Result] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    started: float = field(default_factory=time.monotonic)
    broken: str = ""

    def run(self, workers: int) -> None:
        todo: queue.SimpleQueue[Series] = queue.SimpleQueue()
        for each in self.series:
            todo.put(each)
        zygote = Zygote.start()
        with tempfile.TemporaryDirectory(prefix="milepost-kill-matrix-") as folder:
            threads = [threading.Thread(target=self._work, args=(todo, zygote, Path(folder))) for _ in range(workers)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        zygote.stop()

    def _work(self, todo: "queue.SimpleQueue[Series]", zygote: Zygote, folder: Path) -> None:
        worker = Worker(zygote, Path(tempfile.mkdtemp(dir=folder)))
        try:
            while not self.broken:
                self._play(worker, todo.get_nowait())
        except queue.Empty:
            return
        except Exception as error:
            self.broken = repr(error)
            raise
        finally:
            worker.close()

    def _play(self, worker: Worker, series: Series) -> None:
        for result in worker.play(series):
            with self.lock:
                self.results.append(result)
                if not result.verdict.resumed:
                    print(f"FAIL {result.point.name}: {result.verdict}", flush=True)
                elif len(self.results) % 50 == 0:
                    print(f"{len(self.results)} kill points ({time.monotonic() - self.started:.0f} s)", flush=True)

    def last_line(self) -> str:
        resumed = sum(result.verdict.resumed for result in self.results)
        lost = sum(result.verdict.lost for result in self.results)
        repeated = sum(result.verdict.repeated for result in self.results)
        return f"{len(self.results)} kill points: {resumed} resumed, {lost} lost, {repeated} completed calls repeated"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-k", default="", help="only kill points whose name holds all of these words; writes no table")
    parser.add_argument("--workers", type=int, default=(os.cpu_count() or 1) + 1, help="kill points at once")
    parser.add_argument(
        "--check", action="store_true", help="show where the committed table differs, and write nothing"
    )
    arguments = parser.parse_args()
    words = arguments.k.split()
    series = [each for each in all_series() if all(word in each.name for word in words)]
    left_out = []
    if reason := matrix_memory.unavailable():
        print(f"left out: {OUT_OF_MEMORY}: {reason}")
        left_out.append(OUT_OF_MEMORY)
        series = [each for each in series if each.kind != "memory"]
    matrix = Matrix(series)
    matrix.run(arguments.workers)
    problems = [matrix.broken] if matrix.broken else []
    if not words:
        problems += whole_matrix(matrix, left_out, check=arguments.check)
    for problem in problems:
        print(problem, file=sys.stderr)
    print(matrix.last_line())
    return 1 if problems or not all(result.verdict.resumed for result in matrix.results) else 0


def whole_matrix(matrix: Matrix, left_out: Sequence[str], *, check: bool) -> list[str]:
    """Holds a whole run against the names of the failpoints and the table of the document, which it writes anew."""
    never = FAILPOINTS - ELSEWHERE - {result.point.failpoint for result in matrix.results}
    problems = [f"failpoint {name} was never passed" for name in sorted(never)]
    found = matrix_table.rows([(result.point, result.verdict) for result in matrix.results])
    differences = matrix_table.differences(found, matrix_table.committed(DOCUMENT), left_out)
    if check:
        # How many writes share a commit depends on the disk, so the numbers of passages do; what must hold is tested.
        for line in differences:
            print(f"{DOCUMENT.name}: differs, which is no failure: {line}")
    elif differences and not problems and not matrix.broken and all(each.verdict.resumed for each in matrix.results):
        matrix_table.write(DOCUMENT, matrix_table.table(found, matrix.last_line()))
        print(f"{DOCUMENT.name}: the table was written anew")
    return problems


if __name__ == "__main__":
    sys.exit(main())
