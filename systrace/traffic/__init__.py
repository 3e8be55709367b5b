"""What went over the connections of a job, kept for reports that show it: only where one asks for it (`Keep`).

    activity   when each connection was busy, in blocks of time: waterfalls and lanes
    conversations  the first and the last bytes of each
    tape       everything, in a file: captures

Each is a listener beside the decoders: it hears of every transfer while the log streams by.
"""
