#!/bin/sh
# Hands the next settlement file to the queue.
redis-cli -h queue.corp.example -p 6379 rpop settlement
