"""The conformance kit: what an executor or a store owes, as tests that its author runs in ten lines.

Install it with ``pip install "autopilot-core[testing]"``; the pytest plugin comes with the package::

    from autopilot.testing.executors import CommandExecutorContract
    from my_package import MyExecutor

    class TestMyExecutor(CommandExecutorContract):
        done = ('{"type": "result", "ok": true}',)

        def make(self, program):
            return MyExecutor({"program": program})

``executors`` has the contracts for executors, ``stores`` the one for stores, ``fake_agent`` a program that
misbehaves in documented ways, ``strategies`` hypothesis strategies. The core never imports this package.
"""
