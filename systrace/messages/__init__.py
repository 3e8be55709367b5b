"""What was said, as nouns: the kinds of `Message`, and what they carry. Decoders make them, all others read them.

- `piece.Piece`: bytes that one call moved; `body.Body`: those of a message, a bounded sample of them.
- `http`, `tls`, `dns`, `grpc`: `HttpRequest`, `TlsAlert`, `DnsMessage` and kin; `replies`: what protocols of requests and
  answers have in common (`Request`, `Reply`, `ServerError`); `mismatch`: two sides that speak different protocols.
- `codings`: content codings undone; `sniffing`: what bytes are; `problem`: how content is wrong, and where; `framing`: how
  lengths are told.
- `transactions.transactions(evidence)`: each HTTP request with its answer, and where the time went.

Whoever asks for a field asks for the class first (`isinstance`): the type checker then knows the field.
"""
