"""The config file that ``init`` writes: every setting with its default, commented out."""

from __future__ import annotations

__all__ = ["default_config_text"]

_TEXT = """\
# Settings of Autopilot for this root. Every line below is a default, commented out: remove the # in front of a
# section and of a key in it to change the key. Unknown keys are refused, with file and line.
# `autopilotctl config show --origin` prints what is in force and where it comes from.
# All keys: docs/reference/configuration.md

# full: what was acknowledged survives a power cut. process: survives kill -9 only, and is faster.
#durability: full

# Where tasks live: this folder, or the URL of a store that a plugin knows.
#store: "file:"

# true: work on a network file system (NFS, SMB, FUSE), where less is promised: docs/reference/configuration.md
#allow_network_fs: false

# How ticks run.
#dispatcher:
#  max_active: 4            # attempts at once, over all dispatchers of this root
#  poll_s: 5                # between ticks of `dispatch run` when nothing changes
#  aging_hours: 24          # so much waiting is worth one level of priority
#  backoff_s: 5             # pause before a retry, doubling ...
#  backoff_max_s: 900       # ... up to this
#  gate_deadline_s: 2       # how long a plugin's gate or scorer may take

# What one attempt may use.
#limits:
#  timeout_minutes: 60      # a task's own timeout_minutes overrides this
#  idle_minutes: 0          # how long an executor may show no sign of life; 0: for ever
#  grace_s: 10              # between TERM and KILL
#  verify_minutes: 10       # for each verify command
#  linger_s: 30             # between the final result of a program and its exit
#  output_mib: 8            # of each output file, beyond which only head and tail are kept
#  lease_ttl_s: 30          # silence after which a runner on another host counts as dead
#  beat_s: 10               # between two signs of life of a runner

# How executors are chosen.
#routing:
#  solved_task_usd: 0       # what a solved task is worth; 0: cost does not count
#  hour_usd: 0              # what an hour of waiting is worth; 0: time does not count
#  weights: {}              # plugin name: weight of its scorer, 1 by default
#  on_unavailable: wait     # wait, fail or fallback, for tasks that name an executor that is unhealthy
#  order: []                # names of executors, the first wins a tie

# The event log.
#events:
#  segment_mib: 64          # size at which a new file begins
#  retention_days: 0        # 0: keep everything

# Plugins, by the names that `autopilotctl plugins list` shows. Blocked ones are not even imported.
#plugins:
#  disabled: []
#  only: []                 # when not empty, no other plugin loads
#  # <plugin>: {...}        # options of one plugin

# Defaults for tasks.
#tasks:
#  max_attempts: 3
#  protected:               # paths that no attempt may change
#    - .git/config
#    - .git/config.worktree
#    - .git/hooks/**
#    - .git/info/attributes
#    - .git/info/exclude
#    - .git/info/grafts
#    - .git/info/sparse-checkout
#    - .gitattributes
#    - .gitmodules
#    - .claude/
#    - .codex/
#    - .cursor/
#    - .kimi/
#    - .mcp.json
#    - .vscode/**
#    - AGENTS.md
#    - AGENTS.override.md
#    - CLAUDE.md
#    - CLAUDE.local.md
#    - .github/actions/**
#    - .github/workflows/**
#    - .gitlab-ci.yml
#    - .pre-commit-config.yaml
#    - .autopilot/config.yaml
#  allow_protected_touches: false   # true: a task may change one that it names in touches

# One section for each executor; keys that are not listed here are options of the executor itself.
#executors:
#  local:
#    enabled: true
#    slots: null            # attempts at once; null: as the executor says
#    quota_pool: null       # with whom it shares rate limits
#    tier: null             # high or volume
#    strong: null           # task types it is good at ...
#    weak: null             # ... and bad at
#    cost_usd: null         # what a run costs before there is evidence
#    env: []                # names of environment variables to pass on; never write values of secrets here
#    set_env: {}            # plain values to set
"""


def default_config_text() -> str:
    """The commented ``config.yaml``: it parses to the defaults, as it is and with every comment mark removed."""
    return _TEXT
