"""The process beside the job that records it by eBPF: the job is neither stopped nor made anybody else's child.

`bpf/` runs in the kernel and writes records into a ring buffer; `interest` tells it what of which call,
`records` reads them, `reader` prints them as strace text with the decoders of the embedded tracer.
"""
