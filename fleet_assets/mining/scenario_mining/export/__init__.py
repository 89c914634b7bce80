"""An event window for a person to look at: as an MCAP file and as a Rerun recording."""
