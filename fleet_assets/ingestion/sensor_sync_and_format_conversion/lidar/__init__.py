"""Lidar of workflow 3: packets and point clouds to sweeps, and sweeps to shards of arrays."""
