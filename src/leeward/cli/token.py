"""`leeward token create|list|revoke`: who may use this host's API. Works on the token file, running or not."""

from __future__ import annotations

from typing import Annotated

import typer

from leeward.api.tokens import ROLES, TokenError, TokenStore
from leeward.cli.output import console, edge, json_line, table
from leeward.store.paths import TOKENS_NAME, state_dir

Json = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]


def register(app: typer.Typer) -> None:
    """Add the group of commands to the application."""
    group = typer.Typer(help="Tokens for the API and the page.", no_args_is_help=True)
    group.command("create")(create)
    group.command("list")(list_)
    group.command("revoke")(revoke)
    app.add_typer(group, name="token")


def _tokens() -> TokenStore:
    return TokenStore(state_dir() / TOKENS_NAME)


def create(
    name: Annotated[str, typer.Argument(help="Whose it is.")],
    role: Annotated[str, typer.Option(help=f"One of {', '.join(ROLES)}.")] = "viewer",
    as_json: Json = False,
) -> None:
    """Make a token and print it, this once."""
    with edge():
        secret = _tokens().create(name, role)
        if as_json:
            json_line({"type": "token", "name": name, "role": role, "token": secret})
        else:
            print(secret)


def list_(as_json: Json = False) -> None:
    """Names, roles and ages; the tokens themselves are not kept."""
    with edge():
        entries = _tokens().entries()
        if as_json:
            for entry in entries:
                json_line({"type": "token", "name": entry.name, "role": entry.role, "created": entry.created})
        else:
            rows = [(entry.name, entry.role, entry.created) for entry in entries]
            console().print(table(("name", "role", "created"), rows))


def revoke(name: Annotated[str, typer.Argument(help="As in `leeward token list`.")]) -> None:
    """Forget a token. Requests, sessions and streams that use it end."""
    with edge():
        if not _tokens().revoke(name):
            raise TokenError(f"there is no token named {name!r}: see `leeward token list`")
