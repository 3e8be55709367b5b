"""Jobs as they run at night, in tables: a line each, with the verdict that every tracer must lead to."""

# What Python jobs of the tables begin with.
PREAMBLE = """
import array, ctypes, fcntl, os, resource, select, signal, socket, struct, subprocess, sys, threading, time

def call(host, port):  # a blocking socket
    talker = socket.socket()
    talker.connect((host, port))
    return talker

def ask(talker, words=b"hello\\n"):
    talker.sendall(words)
    return talker.recv(100)

def pair():  # both ends of a TCP connection
    with socket.create_server(("127.0.0.1", 0)) as door:
        caller = call(*door.getsockname())
        return caller, door.accept()[0]
"""
