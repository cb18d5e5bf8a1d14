"""Stand-ins for Globus Auth and the Octopus web service, at the wire, and for the brokers' check of their tokens."""
