"""Records on disk: written before they are sent, read again after a crash."""
