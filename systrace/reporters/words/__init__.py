"""What the views share: blocks of bytes, a hexdump, how a socket ended."""
