"""Tables of maps and weather: road networks by snapshot, station observations, and what they say about drives."""

from typing import Final

from fleet_assets.tables.schema import PARTITION_COLUMNS, Column, Table, TableKind

SNAPSHOT: Final = "snapshot"
_SNAPSHOT: Final = Column(SNAPSHOT, "string", "Snapshot: region@time@digest")
_LAT: Final = Column("lat_deg", "float64", "WGS84 latitude", minimum=-90, maximum=90)
_LON: Final = Column("lon_deg", "float64", "WGS84 longitude", minimum=-180, maximum=180)
_MAYBE_LAT: Final = Column("lat_deg", "float64", "WGS84 latitude", nullable=True, minimum=-90, maximum=90)
_LIMIT_SOURCES: Final = ("tagged", "named", "unlimited", "default")
_MAYBE_LON: Final = Column("lon_deg", "float64", "WGS84 longitude", nullable=True, minimum=-180, maximum=180)

ROAD_NETWORK: Final = Table(
    key=("map", "road_network"),
    description="One road network, made of one OpenStreetMap extract: what went in, what came out, or why nothing did.",
    columns=(
        _SNAPSHOT,
        Column("region", "string", "Region that the extract shows; its youngest snapshot is in force"),
        Column("as_of", "string", "Time that the extract shows, UTC"),
        Column("file", "string", "Name of the file in the landing zone"),
        Column("sha256", "string", "Digest of the file"),
        Column("bytes", "int64", "Size of the file", minimum=0),
        Column("status", "string", "Whether it can be used", values=("usable", "refused")),
        Column("rule", "string", "Rule that it breaks", nullable=True),
        Column("message", "string", "What was found, what is allowed, and what to do", nullable=True),
        Column("country", "string", "Country whose default speed limits hold", nullable=True),
        Column("highway_ways", "int64", "Ways with a highway tag", minimum=0),
        Column("car_ways", "int64", "Of these: roads for cars", minimum=0),
        Column("other_ways", "int64", "Of these: not for cars, such as footways", minimum=0),
        Column("closed_ways", "int64", "Of these: closed to cars, or areas", minimum=0),
        Column("broken_ways", "int64", "Of these: with fewer than two nodes", minimum=0),
        Column("incomplete_ways", "int64", "Roads for cars of which the file lacks nodes", minimum=0),
        Column("cut_off_ways", "int64", "Of these: no edge, too few nodes are there", nullable=True, minimum=0),
        Column("lengthless_ways", "int64", "Roads for cars with all nodes in one place", nullable=True, minimum=0),
        Column("edges", "int64", "Edges", minimum=0),
        Column("nodes", "int64", "Ends of edges", minimum=0),
        Column("junctions", "int64", "Nodes with three arms or more", minimum=0),
        Column("cells", "int64", "Cells with roads", minimum=0),
        Column("length_km", "float64", "Length of all edges", minimum=0),
        Column(
            "tagged_limits",
            "int64",
            "Edges with a speed limit that is no default, in one direction at least",
            minimum=0,
        ),
        Column("south_deg", "float64", "Bounds of the roads", nullable=True),
        Column("west_deg", "float64", "Bounds of the roads", nullable=True),
        Column("north_deg", "float64", "Bounds of the roads", nullable=True),
        Column("east_deg", "float64", "Bounds of the roads", nullable=True),
        Column("attribution", "string", "Whom to name when it is shown"),
    ),
    sort_by=(SNAPSHOT,),
    unique=(SNAPSHOT,),
    kind=TableKind.ROLLUP,
    partition_by=(SNAPSHOT,),
)

ROAD_CELLS: Final = Table(
    key=("map", "road_cells"),
    description="Cells of a road network, with a digest over everything in each, by which changes are told.",
    columns=(
        _SNAPSHOT,
        Column("cell", "string", "H3 cell"),
        Column("edges", "int64", "Edges that touch it", minimum=1),
        Column("digest", "string", "SHA-256 over all that these edges say"),
    ),
    sort_by=("cell",),
    unique=("cell",),
    kind=TableKind.ROLLUP,
    partition_by=(SNAPSHOT,),
)

ROAD_NODES: Final = Table(
    key=("map", "road_nodes"),
    description="Ends of the edges of a road network.",
    columns=(
        _SNAPSHOT,
        Column("node_id", "int64", "Number of the node in OpenStreetMap"),
        _LAT,
        _LON,
        Column("arms", "int32", "Edges that end there", minimum=1),
        Column("junction", "bool", "Whether three or more do"),
        Column("control", "string", "Value of highway there, such as traffic_signals", nullable=True),
    ),
    sort_by=("node_id",),
    unique=("node_id",),
    kind=TableKind.ROLLUP,
    partition_by=(SNAPSHOT,),
)

ROAD_EDGES: Final = Table(
    key=("map", "road_edges"),
    description="Edges of a road network: roads for cars between the places where they meet.",
    columns=(
        _SNAPSHOT,
        Column("edge_id", "string", "way:first node-last node, as driven where it is one-way"),
        Column("way_id", "int64", "Number of the way in OpenStreetMap"),
        Column("start_node", "int64", "Node at its first point"),
        Column("end_node", "int64", "Node at its last point"),
        Column("road_class", "string", "Value of highway"),
        Column("name", "string", "Name on the signs", nullable=True),
        Column("one_way", "bool", "Whether it may only be driven from start to end"),
        Column("lanes", "int32", "Lanes of both directions together, where told", nullable=True, minimum=1),
        Column("speed_limit_mps", "float64", "Limit as drawn; null where there is none", nullable=True, minimum=0),
        Column("speed_limit_back_mps", "float64", "Limit of the other direction", nullable=True, minimum=0),
        Column(
            "speed_limit_source",
            "string",
            "tagged, named (a rule such as DE:urban), unlimited, or the policy's default",
            values=_LIMIT_SOURCES,
        ),
        Column(
            "speed_limit_back_source",
            "string",
            "Likewise for the limit of the other direction; null where there is none",
            nullable=True,
            values=_LIMIT_SOURCES,
        ),
        Column("length_m", "float64", "Length", minimum=0),
        Column("start_junction_m", "float64", "From its start on to the next junction", nullable=True, minimum=0),
        Column("end_junction_m", "float64", "From its end on to the next junction", nullable=True, minimum=0),
        Column("roundabout", "bool", "Whether it is part of a roundabout"),
        Column("work_zone_first_m", "float64", "Where construction begins", nullable=True, minimum=0),
        Column("work_zone_last_m", "float64", "Where construction ends", nullable=True, minimum=0),
        Column("work_zone_limit_mps", "float64", "Limit there, where stated", nullable=True, minimum=0),
        Column("geometry", "string", "WKT line, WGS84 longitude and latitude"),
        Column("cells", "string", "H3 cells that it touches"),
    ),
    sort_by=("edge_id",),
    unique=("edge_id",),
    kind=TableKind.ROLLUP,
    partition_by=(SNAPSHOT,),
)

DRIVE_CELLS: Final = Table(
    key=("silver", "drive_cells"),
    description="Cells that drives passed and their neighbours: which parts of maps and which weather concern them.",
    columns=(
        *PARTITION_COLUMNS,
        Column("cell", "string", "H3 cell"),
        Column("positions", "int64", "Positions in it; 0 for a cell beside the way", minimum=0),
        Column("first_ns", "int64", "First of them", nullable=True),
        Column("last_ns", "int64", "Last of them", nullable=True),
    ),
    sort_by=("drive_id", "cell"),
    unique=("drive_id", "cell"),
)

MAP_MATCHES: Final = Table(
    key=("silver", "map_matches"),
    description="Per drive: whether a map covers it, and how well its positions lie on roads.",
    columns=(
        *PARTITION_COLUMNS,
        Column(
            "status",
            "string",
            "matched; not_covered: no map shows enough of it; no_position: it has no positions",
            values=("matched", "not_covered", "no_position"),
        ),
        Column("region", "string", "Region of the map", nullable=True),
        Column("map_digest", "string", "Digest of the map's cells around the drive", nullable=True),
        Column("positions", "int64", "Positions", minimum=0),
        Column("outside", "int64", "Of these: farther from every road than maps are held to reach", minimum=0),
        Column("snapped", "int64", "Of these: on a road", minimum=0),
        Column(
            "p95_offset_m", "float64", "Distance from the road that one in twenty exceeds", nullable=True, minimum=0
        ),
        Column("max_offset_m", "float64", "Largest distance from the road", nullable=True, minimum=0),
        Column("sigma_m", "float64", "Spread of positions that was used", nullable=True, minimum=0),
        Column("stretches", "int64", "Stretches without a break", minimum=0),
        Column("breaks", "int64", "Breaks that neither a leap nor the map's edge explains", minimum=0),
        Column("route_km", "float64", "Length of the route", minimum=0),
    ),
    sort_by=("drive_id",),
    unique=("drive_id",),
)

MAP_CONTEXT: Final = Table(
    key=("silver", "map_context"),
    description="Where on the road network drives were, at every grid instant with a position on the map.",
    columns=(
        *PARTITION_COLUMNS,
        Column("clip_id", "string", "Clip that holds the instant"),
        Column("t_ns", "int64", "Grid instant, UTC nanoseconds"),
        Column("edge_id", "string", "Edge; null where the position lies on no road", nullable=True),
        Column("forward", "bool", "Whether it is driven as drawn", nullable=True),
        Column("offset_m", "float64", "From the edge's first point", nullable=True, minimum=0),
        Column("snap_distance_m", "float64", "From the position to the road", nullable=True, minimum=0),
        Column("road_class", "string", "Value of highway", nullable=True),
        Column("speed_limit_mps", "float64", "Limit; that of a work zone inside of one", nullable=True, minimum=0),
        Column("speed_limit_source", "string", "Where the limit of the direction driven comes from", nullable=True),
        Column("lanes", "int32", "Lanes of both directions together", nullable=True, minimum=1),
        Column("one_way", "bool", "Whether the road is one-way", nullable=True),
        Column("junction_distance_m", "float64", "Ahead along the road to the next junction", nullable=True, minimum=0),
        Column("roundabout", "bool", "In a roundabout", nullable=True),
        Column("work_zone", "bool", "In a work zone", nullable=True),
        Column("stretch", "int32", "Stretch of the route, counted from 0", nullable=True, minimum=0),
        Column("route_m", "float64", "Along the stretch from its begin", nullable=True, minimum=0),
    ),
    sort_by=("drive_id", "t_ns"),
    unique=("drive_id", "t_ns"),
)

WEATHER_OBSERVATIONS: Final = Table(
    key=("bronze", "weather_observations"),
    description="What weather stations and archives state, as landed, in SI units.",
    columns=(
        Column("file", "string", "File in the landing zone"),
        Column("station", "string", "Station, or grid point of an archive"),
        Column("t_ns", "int64", "Time of the observation, UTC nanoseconds"),
        _LAT,
        _LON,
        Column("temperature_degc", "float64", "Air temperature", nullable=True, minimum=-100, maximum=70),
        Column("visibility_m", "float64", "Visibility", nullable=True, minimum=0),
        Column("precipitation_mm_h", "float64", "Precipitation over the hour before", nullable=True, minimum=0),
        Column("wind_mps", "float64", "Mean wind", nullable=True, minimum=0),
        Column("wind_from_deg", "float64", "Where the wind comes from", nullable=True, minimum=0, maximum=360),
        Column("humidity_percent", "float64", "Relative humidity", nullable=True, minimum=0, maximum=110),
        Column("provider", "string", "Layout that it was read from"),
    ),
    sort_by=("file", "station", "t_ns"),
    unique=("file", "station", "t_ns"),
    kind=TableKind.ROLLUP,
    partition_by=(),
)

WEATHER_DAYS: Final = Table(
    key=("bronze", "weather_days"),
    description="Days of stations in a landed weather file, with a digest over each, by which changes are told.",
    columns=(
        Column("file", "string", "File in the landing zone"),
        Column("station", "string", "Station; empty in the row of a file that is refused"),
        Column("day", "string", "UTC day"),
        _MAYBE_LAT,
        _MAYBE_LON,
        Column("provider", "string", "Layout that it was read from", nullable=True),
        Column("observations", "int64", "Observations", minimum=0),
        Column("duplicates", "int64", "Rows left out since another one of the file has their time", minimum=0),
        Column("broken_rows", "int64", "Rows of the file that could not be read", minimum=0),
        Column("status", "string", "Whether it can be used", values=("usable", "refused")),
        Column("message", "string", "Why not, and what to do", nullable=True),
        Column("digest", "string", "SHA-256 over the day's observations", nullable=True),
    ),
    sort_by=("file", "station", "day"),
    unique=("file", "station", "day"),
    kind=TableKind.ROLLUP,
    partition_by=(),
)

WEATHER: Final = Table(
    key=("silver", "weather"),
    description="Weather of every clip, from the nearest station and time; where there is none, why.",
    columns=(
        *PARTITION_COLUMNS,
        Column("clip_id", "string", "Clip"),
        Column("t_ns", "int64", "Instant that was asked for: the clip's start, UTC nanoseconds"),
        Column("cell", "string", "H3 cell that the drive was in, nearest in time", nullable=True),
        _MAYBE_LAT,
        _MAYBE_LON,
        Column("station", "string", "Station", nullable=True),
        Column("provider", "string", "Layout that the station's file has", nullable=True),
        Column("station_distance_m", "float64", "Distance of the station", nullable=True, minimum=0),
        Column("observed_ns", "int64", "Time of the observation", nullable=True),
        Column("age_s", "float64", "Instant minus time of the observation", nullable=True),
        Column("temperature_degc", "float64", "Air temperature", nullable=True, minimum=-100, maximum=70),
        Column("visibility_m", "float64", "Visibility", nullable=True, minimum=0),
        Column("precipitation_mm_h", "float64", "Precipitation over the hour before", nullable=True, minimum=0),
        Column("wind_mps", "float64", "Mean wind", nullable=True, minimum=0),
        Column("wind_from_deg", "float64", "Where the wind comes from", nullable=True, minimum=0, maximum=360),
        Column("humidity_percent", "float64", "Relative humidity", nullable=True, minimum=0, maximum=110),
        Column(
            "missing",
            "string",
            "Why there is no observation",
            nullable=True,
            values=("no_position", "no_station_near", "no_observation_in_time"),
        ),
    ),
    sort_by=("drive_id", "clip_id"),
    unique=("drive_id", "clip_id"),
)

ENRICHED_CLIPS: Final = Table(
    key=("silver", "enriched_clips"),
    description="Clips with what map, sun and weather say about them: one row per clip.",
    columns=(
        *PARTITION_COLUMNS,
        Column("clip_id", "string", "Clip"),
        Column("start_ns", "int64", "First grid instant, UTC nanoseconds"),
        Column("end_ns", "int64", "End, exclusive, UTC nanoseconds"),
        Column("positions", "int64", "Grid instants with a position on the map", minimum=0),
        Column("snapped", "int64", "Of these: on a road", minimum=0),
        Column("map_missing", "string", "Why there is nothing of a map", nullable=True),
        Column("road_class", "string", "Class driven on longest", nullable=True),
        Column("road_classes", "string", "All classes, by name", nullable=True),
        Column("speed_limit_mps", "float64", "Limit that held longest", nullable=True, minimum=0),
        Column("edges", "int64", "Edges driven on", minimum=0),
        Column("route_m", "float64", "Length of the route in the clip", minimum=0),
        Column("nearest_junction_m", "float64", "Least distance to a junction ahead", nullable=True, minimum=0),
        Column("roundabout", "bool", "Whether a roundabout was driven through", nullable=True),
        Column("work_zone", "bool", "Whether a work zone was driven through", nullable=True),
        Column("light", "string", "Natural light", nullable=True, values=("day", "twilight", "night")),
        Column("sun_elevation_deg", "float64", "Elevation of the sun", nullable=True, minimum=-90, maximum=90),
        Column("temperature_degc", "float64", "Air temperature", nullable=True),
        Column("visibility_m", "float64", "Visibility", nullable=True, minimum=0),
        Column("precipitation_mm_h", "float64", "Precipitation", nullable=True, minimum=0),
        Column("wind_mps", "float64", "Mean wind", nullable=True, minimum=0),
        Column("weather_missing", "string", "Why there is no weather", nullable=True),
    ),
    sort_by=("drive_id", "start_ns"),
    unique=("clip_id",),
)

MAPS: Final = (ROAD_NETWORK, ROAD_CELLS, ROAD_NODES, ROAD_EDGES)
WEATHER_FILES: Final = (WEATHER_OBSERVATIONS, WEATHER_DAYS)
ENRICHMENT: Final = (DRIVE_CELLS, MAP_MATCHES, MAP_CONTEXT, WEATHER, ENRICHED_CLIPS)
MAP_TABLES: Final = (*MAPS, *WEATHER_FILES, *ENRICHMENT)
