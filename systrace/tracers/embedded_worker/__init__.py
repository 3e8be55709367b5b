"""The embedded tracer's worker process: traces with ptrace(2) and prints what strace would print.

It is a process of its own for three reasons: ptrace requests are bound to the thread that attached, `waitpid(-1)` would
steal the command line's other children, and python-ptrace (GPL-2.0-only) is imported nowhere else. The only way out of
it is strace-format text on one descriptor, and the exit status.

    __main__  options, launch or attach, exit status
    loop      waits for stops and restarts tracees          stops   what each stop means
    tracee    one traced thread, its open call              output  lines, buffered, complete or <unfinished ...>
    launch    starts the job                                attach  takes and lets go of running processes
    seccomp   the filter that stops only the wanted calls   inject  widens that filter for one descriptor number
    requests  raw ptrace(2) requests                        memory  reads the tracee
    registers  of a stopped tracee, per architecture        files   descriptor kinds and annotations
    lending   where they are kept while it calls for us
    names     numbers to names, per architecture
    plan      which calls stop the job, and how             coverage  descriptor numbers that a filter stops at
    sleepers  who waits in a call that stopped nobody
    decode/   arguments, one file per family of calls
"""
