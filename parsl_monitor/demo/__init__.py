"""`octopus demo`: a real workflow that fails in several ways, recovers from what can be recovered, and says why."""
