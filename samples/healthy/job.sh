#!/bin/bash
# Three exports over one kept connection. Nothing is wrong here.
set -euo pipefail
api=http://api.partner.example/v1
wget -q -O - "$api/orders" "$api/returns" "$api/stock" | grep -c id
