"""The typed expression language of policies: text to checked plan, and the two ways to run a plan."""
