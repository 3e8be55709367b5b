"""The HTML report: what it shows as plain data (`data`, `waterfall`, `opened`), and the page around it (`page`).

`report.html`, `report.css` and `*.js` are the page's own; nothing of a trace is in them but by Jinja2's autoescape or as
JSON, which the script puts into the page as text only.
"""
