"""From a percept to what others understand: alerts by a policy, signals by a table, both of them data."""
