"""``autopilotctl completion``."""

from __future__ import annotations

import click

__all__ = ["completion"]

PROGRAM = "autopilotctl"
VARIABLE = "_AUTOPILOTCTL_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
def completion(shell: str) -> None:
    """Print the completion script of a shell.

    \b
      bash:  eval "$(autopilotctl completion bash)"      in ~/.bashrc
      zsh:   eval "$(autopilotctl completion zsh)"       in ~/.zshrc
      fish:  autopilotctl completion fish > ~/.config/fish/completions/autopilotctl.fish
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None
    top = click.get_current_context().find_root().command
    click.echo(kind(top, {}, PROGRAM, VARIABLE).source(), nl=False)
