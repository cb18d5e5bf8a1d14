"""The endpoint's side: an engine that reports, decides and retries, and what its workers run."""
