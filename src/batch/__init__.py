"""Batches: from a file of questions to a file of answers that are known to be complete.

    for outcome in tokenwire.batch.run_sync(questions, provider="openai", journal="answers.jsonl"):
        ...

A row is complete, or it says why not; half an answer is never where a reader would take it for a
whole one. What is in the journal is not asked again. Reading order: `rows`, `outcomes`, `lines`,
`past` (what the journal says), `pace` and `schedule` (what is asked when), all of them pure; then
`files`, `journal`, `engine`, `running`. `asker` is the row function of engines: `ray`, `dask`, and
`pandas` for Spark.
"""

from .costs import Price
from .folding import Summary, collect, status
from .outcomes import Fate, Outcome
from .rows import Row
from .running import AsyncOutcomes, Outcomes, run, run_sync

__all__ = [
    "AsyncOutcomes",
    "Fate",
    "Outcome",
    "Outcomes",
    "Price",
    "Row",
    "Summary",
    "collect",
    "run",
    "run_sync",
    "status",
]
