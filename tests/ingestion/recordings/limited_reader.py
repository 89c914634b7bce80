"""A process that reads recordings on request, each in a forked child with limits; see `corruption.py`."""

import json
import os
import resource
import signal
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any, Final

MEMORY_BYTES: Final = 2 << 30
SECONDS: Final = 20


def _read(request: dict[str, Any]) -> dict[str, Any]:
    from fleet_assets.ingestion.recordings.open import open_recording
    from fleet_assets.ingestion.recordings.protocol import UnreadableRecordingError
    from fleet_assets.policy.table_layouts import parse_table_layout

    files = {name: Path(request["folder"]) / name for name in request["names"]}
    messages: dict[str, int] = {}
    try:
        recording = open_recording(files, request["formats"], parse_table_layout(request["table"]))
        try:
            recording.extent_ns()
            known = {channel.name for channel in recording.channels()}
            for batch in recording.batches():
                assert batch.channel in known, f"a batch of the unknown channel {batch.channel}"
                assert all(len(column) == len(batch) for column in batch.columns.values())
                messages[batch.channel] = messages.get(batch.channel, 0) + len(batch)
            summary = recording.summary()
            counted = {name: one.messages for name, one in summary.channels.items() if one.messages}
            assert counted == messages, f"summary says {counted}, batches held {messages}"
        finally:
            recording.close()
    except UnreadableRecordingError as error:
        return {"state": "refused", "messages": messages, "detail": str(error)}
    losses = [(loss.rule, loss.lost_bytes, loss.messages) for loss in summary.losses]
    return {"state": "read", "messages": messages, "losses": losses}


def _child(request: dict[str, Any], answer: Path) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.alarm(SECONDS)
    try:
        result = _read(request)
    except BaseException:  # noqa: BLE001 - the parent reports it as a crash
        result = {"state": "crashed", "detail": traceback.format_exc()[-2000:]}
    answer.write_text(json.dumps(result))
    os._exit(0)


def _serve(request: dict[str, Any]) -> dict[str, Any]:
    handle, name = tempfile.mkstemp()
    os.close(handle)
    answer = Path(name)
    pid = os.fork()
    if pid == 0:
        _child(request, answer)
    _, status = os.waitpid(pid, 0)
    text = answer.read_text()
    answer.unlink()
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        return {"state": "timed_out" if number == signal.SIGALRM else "crashed", "detail": f"signal {number}"}
    result: dict[str, Any] = json.loads(text)
    return result


def main() -> None:
    """Answer one JSON request per line until the input ends."""
    import fleet_assets.ingestion.recordings.open  # noqa: F401 - so that children need not import it

    for line in sys.stdin:
        print(json.dumps(_serve(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
