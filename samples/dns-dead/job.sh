#!/bin/sh
# Exchange rates of the day.
wget -q --tries=1 -O - http://rates.partner.example/daily.csv || { echo "rates: no file today" >&2; exit 1; }
