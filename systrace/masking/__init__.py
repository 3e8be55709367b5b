"""Secrets: where they are, and what stands in their place.

    fields     text of every kind: headers, forms, JSON, XML, SQL, logins by line; patterns of the user's own
    logins     binary logins: MySQL, MQTT, LDAP, SASL PLAIN, SOCKS 5
    argv       arguments of programs
    traced     strace's own text: the strings in a line, with their escapes
    masks      one mask of equal length for each secret of a report
    calls      calls one after the other; `recording`: the lines of a log, and `names` in them
    report     an analysis before anybody prints it

`pipeline.analyze` masks what it returns, so a new reporter has nothing to remember; what shows bytes that are not in the
analysis' text (`events`, `follow`, `--socket`, `--live`) asks `Evidence.masks`.
"""
