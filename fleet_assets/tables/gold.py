"""Gold tables: what is found in the cleaned drives."""

from typing import Final

from fleet_assets.tables.schema import PARTITION_COLUMNS, Column, Table

_POLICY: Final = (
    Column("policy_version", "string", "Version of the trigger policy"),
    Column("policy_digest", "string", "Digest of the trigger policy"),
)


def _share(name: str, description: str) -> Column:
    return Column(name, "float64", description, minimum=0.0, maximum=1.0)


EVENT_WINDOWS: Final = Table(
    key=("gold", "event_windows"),
    description="What the fleet's triggers found in the drives of one day and depot, each event with its worth.",
    columns=(
        *PARTITION_COLUMNS,
        Column("event_id", "string", "Event: drive, trigger and start; the same whenever it is found again"),
        Column("clip_id", "string", "Clip that holds the peak"),
        Column("trigger", "string", "Trigger of the policy"),
        Column("start_ns", "int64", "First grid instant, UTC nanoseconds"),
        Column("end_ns", "int64", "End, exclusive, UTC nanoseconds"),
        Column("peak_ns", "int64", "Instant of the value; the start where there is none"),
        Column("value", "float64", "Peak of the trigger's number in the unit beside it", nullable=True),
        Column("unit", "string", "Unit of the value"),
        Column("cut", "bool", "Whether the signals ended before the event did"),
        _share("score", "Worth a look: weighted mean of the four numbers that follow"),
        _share("rarity", "How seldom such events are, by the policy's frozen rates"),
        _share("uncertainty", "How near to the trigger's threshold the value is"),
        _share("disagreement", "Share of the event in which redundant signals disagree"),
        _share("diversity", "How unlike earlier events of the trigger in the drive it is"),
        Column("ttc_s", "float64", "Shortest time to collision with what is ahead", nullable=True, minimum=0),
        Column("thw_s", "float64", "Shortest time headway", nullable=True, minimum=0),
        Column("drac_mps2", "float64", "Greatest deceleration needed to avoid a crash", nullable=True, minimum=0),
        Column("rss_violated", "bool", "Whether the distance fell below the RSS safe distance", nullable=True),
        *_POLICY,
    ),
    sort_by=("drive_id", "start_ns", "trigger"),
    unique=("event_id",),
)

TRIGGER_EXPOSURE: Final = Table(
    key=("gold", "trigger_exposure"),
    description="How far each trigger watched each drive, and how often it found something: the rates' denominators.",
    columns=(
        *PARTITION_COLUMNS,
        Column("trigger", "string", "Trigger of the policy"),
        Column("distance_m", "float64", "Distance driven while its signals were there to be watched", minimum=0),
        Column("events", "int64", "Events found", minimum=0),
        Column("missing", "string", "Signals that the drive lacks, so that the trigger cannot watch", nullable=True),
        *_POLICY,
    ),
    sort_by=("drive_id", "trigger"),
    unique=("drive_id", "trigger"),
)

SCENE_SEGMENTS: Final = Table(
    key=("gold", "scene_segments"),
    description="Scenes: stretches of a drive in which the vehicle does one thing, from one change to the next.",
    columns=(
        *PARTITION_COLUMNS,
        Column("scene_id", "string", "Scene: drive and start; the same whenever it is found again"),
        Column("clip_id", "string", "Clip that holds the first instant"),
        Column("start_ns", "int64", "First grid instant, UTC nanoseconds"),
        Column("end_ns", "int64", "End, exclusive, UTC nanoseconds"),
        Column("kind", "string", "What the vehicle does, by the policy's rules"),
        Column("samples", "int64", "Grid instants with signals", minimum=1),
        Column("bridged_ns", "int64", "Time without signals that lies within", minimum=0),
        Column("speed_mean_mps", "float64", "Mean speed", nullable=True),
        Column("acceleration_mean_mps2", "float64", "Mean acceleration, from the change of speed", nullable=True),
        Column("yaw_rate_mean_radps", "float64", "Mean yaw rate, left positive", nullable=True),
        Column("lead_share", "float64", "Share of the time with somebody ahead", minimum=0, maximum=1),
        Column("score", "float64", "Unlikeness to the scene before, 0 to 1", minimum=0, maximum=1),
    ),
    sort_by=("drive_id", "start_ns"),
    unique=("scene_id",),
)

GOLD: Final = (EVENT_WINDOWS, TRIGGER_EXPOSURE, SCENE_SEGMENTS)
