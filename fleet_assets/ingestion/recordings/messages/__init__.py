"""Raw message payloads to columns: ROS 1, CDR, protobuf, JSON, and messages that carry CAN frames."""
