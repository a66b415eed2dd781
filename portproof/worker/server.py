"""How a worker takes requests: one after the other while it lives.

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


def serve(answer: Callable[[dict, Path], None]) -> None:
    """Have `answer` take the requests on standard input, each with the folder for what it writes.

    A line of standard input is a JSON list, [REQUEST.json, OUT_DIR]; the reply is a line of JSON on
    standard output, {"error": null}, or {"error": text, "is_users": bool}. Whatever else is printed
    meanwhile goes to standard error.
    """
    memory.keep_freed()
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


def _attempt(answer: Callable[[dict, Path], None], request: dict, out_dir: Path) -> dict:
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
