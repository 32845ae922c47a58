"""Asynchronous changes of FaceSets: queued, done when their time has come, asked for by id."""

from providers.emulators.facepp_facesets import (
    add_faces,
    find_faceset,
    remove_faces,
    tokens_to_add,
    tokens_to_remove,
)
from providers.emulators.facepp_store import FaceppStore, Task
from providers.emulators.facepp_wire import Answer, Fields, ServiceError, required
from providers.emulators.options import Options

_QUEUE_MAX = 1000
"""No figure is published."""

_RUNNING, _DONE, _FAILED = 0, 1, -1


class Tasks:
    """The operations under faceset/async/. A task takes as long as `Options.training_s` says."""

    def __init__(self, store: FaceppStore, options: Options) -> None:
        self._store = store
        self._clock = options.clock
        self._duration_s = options.training_s

    async def add_face(self, fields: Fields) -> Answer:
        """POST faceset/async/addface."""
        tokens = tokens_to_add(fields)
        return self._queue("add", find_faceset(self._store, fields).token, tokens)

    async def remove_face(self, fields: Fields) -> Answer:
        """POST faceset/async/removeface."""
        tokens = tokens_to_remove(fields)
        return self._queue("remove", find_faceset(self._store, fields).token, tokens)

    async def status(self, fields: Fields) -> Answer:
        """POST faceset/async/task_status."""
        task = self._store.task(required(fields, "task_id"))
        if task is None:
            raise ServiceError(400, "INVALID_TASK_ID")
        return {"task_id": task.id} | (task.answer or {"status": _RUNNING})

    def run_due(self) -> None:
        """Do what was to be done by now, as it would have been done then."""
        for task in self._store.running_tasks():
            if task.ends <= self._clock():
                self._store.finish_task(task.id, self._run(task))

    def _queue(self, operation: str, faceset: str, tokens: list[str]) -> Answer:
        if len(self._store.running_tasks()) >= _QUEUE_MAX:
            raise ServiceError(503, "TASK_QUEUE_IS_FULL")
        ends = self._clock() + self._duration_s
        return {"task_id": self._store.add_task(operation, faceset, tokens, ends)}

    def _run(self, task: Task) -> Answer:
        faceset = self._store.faceset(token=task.faceset)
        if faceset is None:
            return {"status": _FAILED, "task_failure_detail": "INVALID_FACESET_TOKEN"}
        change = add_faces if task.operation == "add" else remove_faces
        return {"status": _DONE} | change(self._store, faceset, task.tokens, task.ends)
