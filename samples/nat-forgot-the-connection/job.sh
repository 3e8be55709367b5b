#!/bin/bash
# Month-end totals: the report takes about six minutes to compute.
exec 3<>/dev/tcp/reports.partner.example/80
printf 'GET /totals?month=2024-05 HTTP/1.0\r\nHost: reports.partner.example\r\nAccept: application/json\r\n\r\n' >&3
cat <&3 >/dev/null
echo "totals fetched"
