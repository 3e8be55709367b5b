"""Many recordings: found, each read by itself, kept as tables, and told on one page.

    finding   files and folders -> recordings, told apart by content, those of one `strace -ff` together
    task      one recording (or archive) -> rows of all tables; runs anywhere and needs nothing but its argument
    pool      tasks side by side, by own processes (a log that kills its reader is set aside) or by any Executor
    tables    what is kept of a recording: one file a table, its columns described there
    objects   S3: recordings are listed and read as they come; `bucket` keeps results there
    store     the folder of results while a run writes there: nothing half written, nothing twice
    parts     what stands in it, read with care; `journal`: what a run has read that is in no part yet
    stale     which results a file takes the place of: it has changed, or was moved
    summary   recordings -> text: what failed, with which peer, on which hosts, and whose fault that looks like
    course    all of these in order
    sql       questions to the tables; `questions` has those that are asked often

Only `course` knows the others. As a library, on any `concurrent.futures.Executor` (a Dask client's, too):

    from systrace.fleet.course import Plan, read

    done = read(Plan(["/var/spool/systrace"], into="results", recursive=True), executor=client.get_executor())
"""
