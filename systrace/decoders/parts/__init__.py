"""What one protocol alone needs: the inner parts of TLS, HTTP, Kafka."""
