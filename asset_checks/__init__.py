"""Asset checks: the factory, the generated schema checks, and one file of gates per area."""
