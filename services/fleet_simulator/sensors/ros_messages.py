"""Definitions of the standard ROS 2 message types that the simulated recorder writes.

Text as in ros2/common_interfaces (Humble) and ros-industrial/ros_canopen, without comments. A recording carries them,
so that any reader of MCAP decodes it without these packages.
"""

from typing import Final

IMU: Final = "sensor_msgs/msg/Imu"
NAV_SAT_FIX: Final = "sensor_msgs/msg/NavSatFix"
TIME_REFERENCE: Final = "sensor_msgs/msg/TimeReference"
TWIST_STAMPED: Final = "geometry_msgs/msg/TwistStamped"
CAN_FRAME: Final = "can_msgs/msg/Frame"
POINT_CLOUD: Final = "sensor_msgs/msg/PointCloud2"
COMPRESSED_IMAGE: Final = "sensor_msgs/msg/CompressedImage"

_PARTS: Final = {
    "builtin_interfaces/Time": "int32 sec\nuint32 nanosec\n",
    "std_msgs/Header": "builtin_interfaces/Time stamp\nstring frame_id\n",
    "geometry_msgs/Quaternion": "float64 x 0\nfloat64 y 0\nfloat64 z 0\nfloat64 w 1\n",
    "geometry_msgs/Vector3": "float64 x\nfloat64 y\nfloat64 z\n",
    "geometry_msgs/Twist": "geometry_msgs/Vector3 linear\ngeometry_msgs/Vector3 angular\n",
    "sensor_msgs/NavSatStatus": (
        "int8 STATUS_NO_FIX=-1\nint8 STATUS_FIX=0\nint8 STATUS_SBAS_FIX=1\nint8 STATUS_GBAS_FIX=2\nint8 status\n"
        "uint16 SERVICE_GPS=1\nuint16 SERVICE_GLONASS=2\nuint16 SERVICE_COMPASS=4\nuint16 SERVICE_GALILEO=8\n"
        "uint16 service\n"
    ),
    "sensor_msgs/PointField": (
        "uint8 INT8=1\nuint8 UINT8=2\nuint8 INT16=3\nuint8 UINT16=4\nuint8 INT32=5\nuint8 UINT32=6\n"
        "uint8 FLOAT32=7\nuint8 FLOAT64=8\nstring name\nuint32 offset\nuint8 datatype\nuint32 count\n"
    ),
}
_TYPES: Final = {
    IMU: (
        "std_msgs/Header header\ngeometry_msgs/Quaternion orientation\nfloat64[9] orientation_covariance\n"
        "geometry_msgs/Vector3 angular_velocity\nfloat64[9] angular_velocity_covariance\n"
        "geometry_msgs/Vector3 linear_acceleration\nfloat64[9] linear_acceleration_covariance\n"
    ),
    NAV_SAT_FIX: (
        "std_msgs/Header header\nsensor_msgs/NavSatStatus status\nfloat64 latitude\nfloat64 longitude\n"
        "float64 altitude\nfloat64[9] position_covariance\nuint8 COVARIANCE_TYPE_UNKNOWN=0\n"
        "uint8 COVARIANCE_TYPE_APPROXIMATED=1\nuint8 COVARIANCE_TYPE_DIAGONAL_KNOWN=2\n"
        "uint8 COVARIANCE_TYPE_KNOWN=3\nuint8 position_covariance_type\n"
    ),
    TIME_REFERENCE: "std_msgs/Header header\nbuiltin_interfaces/Time time_ref\nstring source\n",
    TWIST_STAMPED: "std_msgs/Header header\ngeometry_msgs/Twist twist\n",
    CAN_FRAME: (
        "std_msgs/Header header\nuint32 id\nbool is_rtr\nbool is_extended\nbool is_error\nuint8 dlc\nuint8[8] data\n"
    ),
    POINT_CLOUD: (
        "std_msgs/Header header\nuint32 height\nuint32 width\nsensor_msgs/PointField[] fields\nbool is_bigendian\n"
        "uint32 point_step\nuint32 row_step\nuint8[] data\nbool is_dense\n"
    ),
    COMPRESSED_IMAGE: "std_msgs/Header header\nstring format\nuint8[] data\n",
}
_LINE: Final = "=" * 80


def definition(type_name: str) -> str:
    """A type's definition followed by those of all types in it, as ROS 2 recordings carry it (`ros2msg`).

    Raises:
        KeyError: When the type is none of this module's.
    """
    parts, queue = [_TYPES[type_name]], [_TYPES[type_name]]
    seen: set[str] = set()
    while queue:
        for line in queue.pop(0).splitlines():
            name = line.split()[0].removesuffix("[]")
            if name in _PARTS and name not in seen:
                seen.add(name)
                parts.append(f"{_LINE}\nMSG: {name}\n{_PARTS[name]}")
                queue.append(_PARTS[name])
    return "".join(parts)
