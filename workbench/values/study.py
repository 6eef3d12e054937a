"""What is known of a study beside its trials."""

from __future__ import annotations

from typing import Any

from workbench.values.base import Count, Value
from workbench.values.source import DatasetInfo, ModelInfo, Signature
from workbench.values.task import TaskSpec


class StudyRecord(Value):
    """A study: name, model, dataset, what labels of each output mean, the last grid asked for, the machine, and how to run it again.

    `threads` is how many each worker used last; `started` is ISO 8601 in UTC; `environment` holds processor, cores, versions and load.
    """

    name: str
    model: ModelInfo
    dataset: DatasetInfo
    signature: Signature
    tasks: dict[str, TaskSpec] = {}
    threads: Count | None = None
    grid: dict[str, Any] = {}
    environment: dict[str, Any] = {}
    command: str = ""
    started: str = ""
