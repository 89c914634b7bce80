"""A drive that repeats another: the same motion and traffic at another time.

Here belongs moving in time what happened. What is to be repeated is in the plan; measuring it anew is up to the
sensors.
"""

from dataclasses import replace

from services.fleet_simulator.drive_truth import DriveTruth


def moved(truth: DriveTruth, by_ns: int) -> DriveTruth:
    """The same drive so much later, with the lights, weather and daylight that it had.

    Args:
        truth: What happened.
        by_ns: Nanoseconds; a drive moves earlier by a negative number.
    """
    return replace(
        truth,
        ego=replace(truth.ego, t_ns=truth.ego.t_ns + by_ns),
        lights=tuple(replace(light, change_ns=light.change_ns + by_ns) for light in truth.lights),
        conditions=tuple(replace(one, t_ns=one.t_ns + by_ns) for one in truth.conditions),
        events=tuple(
            replace(event, start_ns=event.start_ns + by_ns, end_ns=event.end_ns + by_ns, peak_ns=event.peak_ns + by_ns)
            for event in truth.events
        ),
    )
