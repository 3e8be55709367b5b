"""What a packet capture is made of: `blocks` of pcapng, `packets` of IP, and `conversation`, which makes them of moves."""
