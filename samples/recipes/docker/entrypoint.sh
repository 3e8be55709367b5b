#!/bin/sh
# An image's entrypoint that runs its command under systrace:
#
#     COPY entrypoint.sh /usr/local/bin/
#     ENTRYPOINT ["entrypoint.sh"]
#     CMD ["./nightly_export.sh"]
#
# docker run --init --env JOB=nightly_export IMAGE
#
# The command's output, status and signals stay its own. The verdict is an event of CloudWatch's embedded metric format on
# standard error (descriptor 2), the report of a bad run is before it. Docker's seccomp profile lets a container trace its
# own processes since Linux 4.8; eBPF needs --cap-add SYS_ADMIN (or BPF and PERFMON), and is not needed.
set -eu

if [ "$#" -eq 0 ]; then
    echo "entrypoint.sh: no command: give the image a CMD" >&2
    exit 127
fi
if ! command -v systrace >/dev/null; then # the job comes first
    echo "entrypoint.sh: no systrace in this image: the job runs without it" >&2
    exec "$@"
fi
exec systrace run --job "${JOB:-${1##*/}}" --quiet-if-healthy --emf 2 -- "$@"
