#!/bin/bash
# Nightly clean-up of the order database.
set -euo pipefail
PATH=/usr/lib/postgresql/15/bin:$PATH
psql "host=db.corp.example user=batch dbname=orders connect_timeout=10" \
    -Atqc "delete from cart where updated < now() - interval '30 days'"
echo "clean-up done"
