"""Tables of redaction: redacted media, what is covered in them, and who vouches for it."""

from typing import Final

from fleet_assets.tables.schema import PARTITION_COLUMNS, Column, Table, TableKind

_CAMERA: Final = Column("camera", "string", "Camera of the vehicle spec")
_PART: Final = Column("part", "int32", "Which of the camera's files, from 0; 0 for topics and folders", minimum=0)
_FRAME: Final = Column("frame", "int64", "Number of the picture in its source, from 0", minimum=0)
_T_NS: Final = Column("t_ns", "int64", "Time of the picture: recording clock plus drives.clock_offset_ns")
_BOX: Final = (
    Column("x_px", "int32", "Left edge", minimum=0),
    Column("y_px", "int32", "Upper edge", minimum=0),
    Column("width_px", "int32", "Width", minimum=1),
    Column("height_px", "int32", "Height", minimum=1),
)

REDACTED_MEDIA: Final = Table(
    key=("bronze", "redacted_media"),
    description="Pictures of the cameras of one day and depot with faces and plates blurred; class raw until audited.",
    columns=(
        *PARTITION_COLUMNS,
        _CAMERA,
        _PART,
        Column("media", "string", "Single pictures in a Parquet file, or a video", values=("frames", "mp4")),
        Column("codec", "string", "How pictures are encoded", values=("jpeg", "h264")),
        Column("width", "int32", "Columns of the widest picture", minimum=1),
        Column("height", "int32", "Rows of the highest picture", minimum=1),
        Column("frames", "int64", "Pictures in the object", minimum=1),
        Column("source_frames", "int64", "Pictures that were recorded", minimum=1),
        Column("first_t_ns", "int64", "Time of the earliest picture: recording clock plus drives.clock_offset_ns"),
        Column("last_t_ns", "int64", "Time of the latest picture"),
        Column("blurred_frames", "int64", "Pictures in which something is blurred", minimum=0),
        Column("blurred_share", "float64", "Share of all pixels that is blurred", minimum=0, maximum=1),
        Column("bytes", "int64", "Size of the object", minimum=1),
        Column("sha256", "string", "Digest of the object"),
        Column("uri", "string", "Address of the object once bronze.audited_media releases it"),
    ),
    sort_by=("drive_id", "camera", "part"),
    unique=("drive_id", "camera", "part"),
)

REDACTION_BOXES: Final = Table(
    key=("bronze", "redaction_boxes"),
    description="Every area that is blurred in the redacted media of one day and depot.",
    columns=(
        *PARTITION_COLUMNS,
        _CAMERA,
        _PART,
        _FRAME,
        _T_NS,
        Column("kind", "string", "What is covered, as policies/redaction.yaml names it"),
        Column("track", "int32", "Number of the track within its kind and file", minimum=0),
        *_BOX,
        Column("source", "string", "Seen in this picture, or filled in from others", values=("detected", "tracked")),
        Column("score", "float64", "Score of the detection; of the nearest ones where it is filled in, the smaller"),
    ),
    sort_by=("drive_id", "camera", "part", "frame", "kind", "track"),
    unique=("drive_id", "camera", "part", "frame", "kind", "track"),
)

REDACTION_REPORT: Final = Table(
    key=("bronze", "redaction_report"),
    description="Per drive and camera: what its pictures gave, what was left out and why, and the statement about it.",
    columns=(
        *PARTITION_COLUMNS,
        _CAMERA,
        Column(
            "status",
            "string",
            "redacted · quarantined: no media of the camera for the rule named · absent: the recording has no pictures",
            values=("redacted", "quarantined", "absent"),
        ),
        Column("rule", "string", "Rule of policies/redaction.yaml that was broken", nullable=True),
        Column("value", "string", "What was found", nullable=True, free_text=True),
        Column("limit", "string", "What the rule allows", nullable=True),
        Column("remedy", "string", "What to do next", nullable=True, free_text=True),
        Column("source_frames", "int64", "Pictures that were recorded", minimum=0),
        Column("frames", "int64", "Pictures in the redacted media", minimum=0),
        Column("undecodable", "int64", "Pictures left out, since nobody can look at them", minimum=0),
        Column("problems", "string", "Why they could not be decoded, and how often", nullable=True, free_text=True),
        Column("searched_frames", "int64", "Pictures that detectors looked at", minimum=0),
        Column("boxes", "int64", "Areas covered, picture by picture", minimum=0),
        Column("boxes_by_kind", "string", "JSON: areas covered by kind"),
        Column("blurred_share", "float64", "Share of all pixels that is blurred", minimum=0, maximum=1),
        Column("detectors", "string", "JSON: digest of the weights by name"),
        Column("policy_digest", "string", "Digest of the policy keys that decide what is covered"),
        Column("report_sha256", "string", "Digest of the drive's statement, an object of class open"),
    ),
    sort_by=("drive_id", "camera"),
    unique=("drive_id", "camera"),
)

REDACTION_SIGNATURES: Final = Table(
    key=("bronze", "redaction_signatures"),
    description="Who vouches for the statements about redaction, and since when.",
    columns=(
        *PARTITION_COLUMNS,
        Column("signature_id", "string", "Digest of statement and key: the same statement is signed once by a key"),
        Column("report_sha256", "string", "Digest of the drive's statement"),
        Column("key_id", "string", "Key that signed"),
        Column("envelope", "string", "DSSE envelope: statement, time and signature"),
        Column("signed_ns", "int64", "Wall clock of the platform, UTC nanoseconds"),
    ),
    sort_by=("drive_id", "signature_id"),
    unique=("signature_id",),
    kind=TableKind.LOG,
    partition_by=(),
)

REDACTION: Final = (REDACTED_MEDIA, REDACTION_BOXES, REDACTION_REPORT, REDACTION_SIGNATURES)
"""Tables that have an asset."""
