"""Evidence: the one statistics core. Intervals, what they decide, three-valued verdicts; no area's rule lives here."""
