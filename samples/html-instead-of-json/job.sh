#!/bin/bash
# Stock levels for the shop. The pipe hides wget's view of things: a page with status 200 is a success for it.
set -o pipefail
wget -q -O - --header='Accept: application/json' http://api.partner.example/v1/stock | jq -r '.rows[].id'
