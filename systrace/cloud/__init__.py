"""What a cloud's own rules say of the way to a peer: one package a cloud, each read-only.

Each takes records as the cloud's own tools print them, and gives observations (`systrace.observations`).
"""
