"""How a worker takes requests: one from its command line, or one after the other while it lives.

Starting a framework takes seconds; a tool that asks several times keeps the process.
"""

import json
import os
import select
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from portproof.system import memory
from portproof.system.errors import UserError

IDLE = 3  # seconds
Answer = Callable[[dict, Path], None]  # takes a request and the folder for what it writes


def serve(answer: Answer) -> None:
    """Answer the request that the command line names, or else those named on standard input.

    A line of standard input is a JSON list, [REQUEST.json, OUT_DIR]; the reply is a line of JSON on
    standard output, {"error": null}, or {"error": text, "is_users": bool}. Whatever else is printed
    meanwhile goes to standard error.
    """
    memory.keep_freed()
    if len(sys.argv) == 3:
        answer(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
        if any(name in os.environ for name in ("WORLD_SIZE", "PADDLE_TRAINERS_NUM")):
            _leave_the_job()
        return
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    while line := _next_line():
        request, out_dir = map(Path, json.loads(line))
        print(json.dumps(_attempt(answer, json.loads(request.read_text()), out_dir)), file=replies)
        replies.flush()


def _next_line() -> str:
    """Return the next line of standard input, empty at its end.

    A tool may keep several workers, of which one works at a time: one that is not asked for a while
    gives its freed memory back. The next request would have the kernel clear it anew.
    """
    if not select.select([sys.stdin], [], [], IDLE)[0]:
        memory.give_back()
    return sys.stdin.readline()


def _leave_the_job() -> None:
    """End one of several processes at once, since all that it was asked for is written.

    Where the interpreter is taken down bit by bit, a thread of gloo that still waits for its lock
    ends the process by SIGABRT (torch 2.12.1).
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _attempt(answer: Answer, request: dict, out_dir: Path) -> dict:
    try:
        answer(request, out_dir)
    except UserError as error:
        return {"error": str(error), "is_users": True}
    except SystemExit:  # of the parser of options
        return {"error": "a wrong option in the request", "is_users": True}
    except Exception as error:
        traceback.print_exc()
        text = f"{type(error).__name__}: {' '.join(str(error).split())}"
        return {"error": text, "is_users": False}
    return {"error": None}
