"""The Octopus service: login, keys, tokens."""
