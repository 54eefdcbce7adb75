"""The prompt of last resort."""

from __future__ import annotations

from autopilot.executors.prompt import default_prompt
from autopilot.models import Task


def test_all_that_the_task_says_is_in_it():
    task = Task(
        id="t",
        title="Mend the\nroof",
        body="\nIt leaks.\n\n",
        acceptance_criteria=("No drop\nfalls", "It looks nice"),
        verify=("make test",),
    )
    prompt = default_prompt(task, {"earlier_failure": "test_roof failed\nwet"})
    assert prompt.startswith(
        "# Mend the roof\n\nIt leaks.\n\n## Acceptance criteria\n\n- No drop falls\n- It looks nice\n"
    )
    assert "\n    make test\n" in prompt
    assert "> test_roof failed\n> wet" in prompt
    assert "nobody is there to answer" in prompt and "nothing has to be changed" in prompt
    assert prompt.endswith(".\n")


def test_what_is_not_there_leaves_no_heading():
    prompt = default_prompt(Task(id="t", title="Title"), {})
    assert prompt.count("#") == len("# ## ".replace(" ", ""))
    assert "earlier" not in prompt and "Acceptance" not in prompt and "commands" not in prompt


def test_a_long_failure_keeps_its_beginning_and_end():
    prompt = default_prompt(Task(id="t", title="T"), {"earlier_failure": "start" + "x" * 10_000 + "the end"})
    assert "> start" in prompt and "the end" in prompt and "characters left out" in prompt
    assert len(prompt) < 6000
