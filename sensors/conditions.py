"""The platform's three automation conditions. Each one has a tick test that shows what it is for.

No condition looks at the wall clock's latest window: recordings can be years old. Conditions are edge-triggered and can
lose an update that falls between two ticks; the level-triggered sweep in `restatement.py` is the truth.
"""

from typing import Final

import dagster as dg

_CHANGED_UPSTREAM: Final = dg.AutomationCondition.any_deps_match(
    dg.AutomationCondition.data_version_changed() | dg.AutomationCondition.will_be_requested()
)

_EAGER: Final = dg.AutomationCondition.eager().without(dg.AutomationCondition.in_latest_time_window())

_GATES_PASSED_OR_IN_RUN: Final = dg.AutomationCondition.all_deps_match(
    dg.AutomationCondition.will_be_requested()
    | dg.AutomationCondition.all_checks_match(dg.AutomationCondition.check_passed(), blocking_only=True)
)

GATED: Final = (_EAGER.replace("any_deps_updated", _CHANGED_UPSTREAM) & _GATES_PASSED_OR_IN_RUN).with_label("gated")
"""Any partition whose upstream content changed, once every blocking check of every upstream partition has passed.

An upstream partition that the same tick requests is in the same run, with its gates, which hold back what follows. The
built-in `all_deps_blocking_checks_passed` counts these only if the gates have conditions of their own; then, however,
backfills leave such gates out (a check with a condition runs only when it is asked for by name).
"""

_UNSETTLED_CHECKS: Final = ~dg.AutomationCondition.all_checks_match(
    dg.AutomationCondition.check_passed(), blocking_only=True
)

GATED_ROLLUP: Final = (
    _EAGER.without(~dg.AutomationCondition.any_deps_missing()).replace(
        "any_deps_updated", dg.AutomationCondition.any_deps_match(dg.AutomationCondition.data_version_changed())
    )
    & ~dg.AutomationCondition.any_deps_match(_UNSETTLED_CHECKS & ~dg.AutomationCondition.missing())
).with_label("gated roll-up")
"""(day × depot) → day: depots without data do not count, a depot with a failed gate holds the day.

Unlike `GATED` it never looks at what the same tick requests: another partitions definition means another run, in which
no blocking check of the depots could hold it back.
"""

ON_NEWLY_FAILED: Final = dg.AutomationCondition.any_deps_match(
    dg.AutomationCondition.any_checks_match(dg.AutomationCondition.check_failed().newly_true())
).with_label("on newly failed")
"""Once, when a gate of an upstream asset turns to failed; not again while it stays so."""
