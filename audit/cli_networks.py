"""The commands around networks and what they saw, which need no service: cache."""

from typing import Annotated

import typer

from audit.options import JSON, QUIET
from audit.terminal import command, table

networks_app = typer.Typer()
cache_app = typer.Typer(help="What this machine keeps about photos.", no_args_is_help=True)
networks_app.add_typer(cache_app, name="cache")


@command(cache_app, "list")
def cache_list(as_json: JSON = False, quiet: QUIET = False) -> None:
    """List what is kept between runs: embeddings, places of faces, cloaked photos."""
    from audit import stores

    del quiet
    table(stores.rows(), as_json=as_json)


@command(cache_app, "clear")
def cache_clear(
    store: Annotated[
        list[str] | None, typer.Argument(help="embeddings, faces or cloaks. [all]")
    ] = None,
    as_json: JSON = False,
    quiet: QUIET = False,
) -> None:
    """Delete what is kept, and say what was deleted; weights and run folders stay."""
    from audit import stores

    del quiet
    table(stores.clear(store or ()), as_json=as_json)
