"""`python -m evals.local.serve MODEL…`: serve local models until Ctrl-C, on the ports that sweeps/local-*.yaml name."""

from __future__ import annotations

import threading
from pathlib import Path

import click

from evals.local.fetch import catalogue
from evals.local.server import running_server
from router_lab.runtime.errors import InputError


@click.command()
@click.argument("models", nargs=-1)
@click.option(
    "--gguf", multiple=True, metavar="MODEL=PATH", help="A GGUF file of your own under this model name."
)
@click.option(
    "--port", multiple=True, metavar="MODEL=PORT", help="Not the port in weights.yaml; 0 = a free one."
)
def main(models: tuple[str, ...], gguf: tuple[str, ...], port: tuple[str, ...]) -> None:
    """Serve MODELS (default: smollm2-135m), fetching server and weights by hash on first use."""
    own = {name: Path(path) for name, _, path in (pair.partition("=") for pair in gguf)}
    ports = {name: int(number) for name, _, number in (pair.partition("=") for pair in port)}
    names = [*models, *(name for name in own if name not in models)] or [next(iter(catalogue()))]
    try:
        with running_server(names, ports=ports, gguf=own) as running:
            for name, url in running.urls.items():
                click.echo(f"{name}\t{url}")
            click.echo(f"ready: {running.build}; export LOCAL_API_KEY=none; Ctrl-C stops", err=True)
            threading.Event().wait()
    except KeyboardInterrupt:
        click.echo("stopped", err=True)
    except InputError as error:
        raise click.ClickException(str(error)) from None


if __name__ == "__main__":
    main()
