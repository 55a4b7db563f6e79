"""What every Segue service is built with; it knows the frame of messages, and no domain."""
