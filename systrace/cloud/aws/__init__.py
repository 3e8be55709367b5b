"""AWS: what stands between a network interface and a peer, by the configuration alone.

    questions   what is asked: a peer, its port, the job's own address and ports
    steps       what is answered: a step of the way, a limit on silence, the whole way
    inventory   records in the shape of the CLI's `describe-*` output, by the key that they stand under
    shapes      what a record always has: without it, it proves nothing
    saved       the same from JSON files                      live    the same from boto3, asked for when needed
    sources     which network interface the job has: by its address, instance or task metadata, or as the user says
    walk        the evaluator: from the interface to the route; pure, it asks nobody but the inventory
    groups, acls, routes, prefixes, ports     what it evaluates
    targets     what a route leads to, one file a kind          arrival    what is at the other end, in the VPC
    balancers, target_groups, databases       services that are told more of
    flowlogs    what VPC flow logs say of a connection: which filter dropped it, and who is innocent
    witnesses   whose flow logs along a way are looked at
    facts       ways as observations, and held against the job's silences and keepalive
    telling     ways for people and for programs

Every step is allowed, blocked (by this rule), a share of the ports, or unknown (what is missing): a missing file or a
denied call never reads as allowed.
"""
