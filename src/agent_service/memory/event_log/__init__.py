"""The events of streams, kept for a while so that a stream can be picked up again, by any worker."""
