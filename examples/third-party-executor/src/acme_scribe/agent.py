"""The program ``scribe``: reads a prompt, writes it into NOTES.md, tells its progress as JSON lines."""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main() -> int:
    """Write the notes; 0 when there was something to write."""
    if "--version" in sys.argv:
        print("scribe 1.0.0")
        return 0
    prompt = sys.stdin.read().strip()
    if not prompt:
        print("scribe: nothing to write", file=sys.stderr)
        return 1
    _tell(type="progress", text="sharpening the quill")
    with Path("NOTES.md").open("a", encoding="utf-8") as notes:
        notes.write(prompt + "\n")
    _tell(type="result", ok=True, words=len(prompt.split()))
    return 0


def _tell(**what: object) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    sys.exit(main())
