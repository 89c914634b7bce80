"""Tables of the audit of redaction: what was looked at, what was seen there, and which media others may open."""

from typing import Final

from fleet_assets.tables.schema import PARTITION_COLUMNS, Column, Table

AUDITED_MEDIA: Final = Table(
    key=("bronze", "audited_media"),
    description="Per file of redacted media: how much of it the auditor looked at, and whether others may open it.",
    columns=(
        *PARTITION_COLUMNS,
        Column("camera", "string", "Camera of the vehicle spec"),
        Column("part", "int32", "Which of the camera's files, from 0", minimum=0),
        Column("sha256", "string", "Digest of the media"),
        Column("frames", "int64", "Pictures in the media", minimum=1),
        Column("wanted_frames", "int64", "Pictures that the sample asks for", minimum=0),
        Column("looked_at", "int64", "Pictures that the auditor looked at", minimum=0),
        Column("tracks", "int64", "Tracks of covered faces and plates in the pictures looked at", minimum=0),
        Column("hits", "int64", "Questions: what a detector of the auditor saw", minimum=0),
        Column("exposures", "int64", "Confirmed hits that nobody has judged to be none", minimum=0),
        Column("released", "bool", "Whether the media are in class open: nothing in the drive is exposed"),
        Column("detectors", "string", "JSON: digest of the auditor's weights by name"),
        Column("redaction", "string", "Digest of the detectors and policies that the media were redacted with"),
    ),
    sort_by=("drive_id", "camera", "part"),
    unique=("drive_id", "camera", "part"),
)

REDACTION_AUDIT: Final = Table(
    key=("bronze", "redaction_audit"),
    description="What the auditor's detectors saw in redacted media, and whether a second look confirmed it.",
    columns=(
        *PARTITION_COLUMNS,
        Column("camera", "string", "Camera of the vehicle spec"),
        Column("part", "int32", "Which of the camera's files, from 0", minimum=0),
        Column("frame", "int64", "Number of the picture in its source, from 0", minimum=0),
        Column("t_ns", "int64", "Time of the picture: recording clock plus drives.clock_offset_ns"),
        Column("detector", "string", "Weights of the auditor that saw it"),
        Column("kind", "string", "What it saw"),
        Column("x_px", "int32", "Left edge", minimum=0),
        Column("y_px", "int32", "Upper edge", minimum=0),
        Column("width_px", "int32", "Width", minimum=1),
        Column("height_px", "int32", "Height", minimum=1),
        Column("score", "float64", "Its score"),
        Column("confirmed", "bool", "Whether the second look confirms an exposure"),
        Column("why", "string", "What the second look said"),
        Column("crop_sha256", "string", "Digest of the crop, a PNG of class raw: nobody has judged it yet"),
        Column("released_by", "string", "Who judged that it shows nobody, and why", nullable=True),
    ),
    sort_by=("drive_id", "camera", "part", "frame", "detector", "y_px", "x_px", "width_px"),
)

AUDIT: Final = (AUDITED_MEDIA, REDACTION_AUDIT)
