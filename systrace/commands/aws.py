"""`systrace aws`: which rule of AWS stands between a job and its peer, by the configuration alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from systrace.commands import app
from systrace.commands.options import table_or_json

HELP = """Say which rule of AWS stands between this job and its peer: LOG (the peer that it accuses), HOST:PORT, or a URL.

Security groups, routes, network ACLs (the way of the answers, too), NAT gateways, endpoints, load balancers, RDS, and after
which silence something on the way forgets a connection. Nothing is sent to the peer, and nothing is changed: AWS is asked
to describe (boto3, with the credentials of AWS_PROFILE or of this host), or files are read that
`systrace aws --commands` says how to make. What was not read is unknown, never allowed.

The job's network interface is found by the log's own addresses, else by the metadata of this task or instance, or --from.

Exit status: 0 nothing blocks, 1 something does (or lets a share of the ports through, or forgets what the job waits for),
2 it is not decided: something was not read, or lies with somebody else.
"""


@app.command(help=HELP, short_help="Which rule of AWS blocks a peer; what forgets silent connections.")
def aws(
    peers: Annotated[
        list[str] | None, typer.Argument(metavar="LOG|HOST:PORT|URL...", help="What to ask about.")
    ] = None,
    from_: Annotated[
        str, typer.Option("--from", metavar="WHO", help="The job's ENI, INSTANCE, ECS TASK (id or ARN), or address.")
    ] = "",
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Saved answers of `aws ... describe-*`; no call is made.")
    ] = None,
    flow_logs: Annotated[
        str, typer.Option(metavar="FILE|GROUP", help="VPC flow logs: a file (.gz), or a CloudWatch log group.")
    ] = "",
    commands: Annotated[
        bool, typer.Option("--commands", help="Print what to run for --data, and the least policy for it.")
    ] = False,
    save_facts: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write what was found, for parse --context FILE.")
    ] = None,
    add: Annotated[bool, typer.Option("--add", help="Add it to LOG, as `# systrace:` lines.")] = False,
    style: Annotated[
        str, typer.Option("--format", metavar="NAME", help="table, or json: one object a peer.")
    ] = "table",
) -> None:
    """See HELP."""
    from systrace.commands.reading.clouds import Course, printed_commands
    from systrace.errors import UsageError

    as_json = table_or_json(style) == "json"
    if commands:
        printed_commands(as_json=as_json)
        return
    if not peers:
        raise UsageError("name what to ask about: LOG, HOST:PORT or a URL (or --commands)")
    course = Course(peers, who=from_, data=data, flow_logs=flow_logs, as_json=as_json)
    raise typer.Exit(course.run(save_facts=save_facts, add=add))
