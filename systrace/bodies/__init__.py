"""What is wrong with what messages carry (`messages.body.Body`). No verdict here rests on bytes that are not known.

- `charset.charset_problem(body)`: `CharsetProblem` (kind, offset, byte, declared, actual); `charset.text_of(body)`.
- `json_body.json_problem(body)`: `Problem` of kind truncated, malformed, empty or nonstandard, with offset, line,
  column and the standard parser's own words; `json_body.json_value(body)`: the parsed content.
- `xml_body.xml_problem(body)`: the same for XML; `xml_body.root(data)`: root element and first texts.
- `html_body.html_page(body)`: `HtmlPage` (title, sender, login).
- `tabular.csv_problem(body)`, `tabular.fixed_width_problem(body)`: rows of another width, a last row that is cut.
- `error_payload.error_payload(body)`: `ErrorPayload` (form, code, message) of well-formed JSON, XML or SOAP errors.
- `expectations.wrong_kind(response)`: HTML (or else) where JSON, XML, CSV ... was due, and who says so;
  `expectations.unannounced_compression(response)`: gzip bytes that no header announces.
"""
