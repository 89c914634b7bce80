"""What a simulated vehicle's sensors report of a drive: one module per sensor, one for the clocks of all."""
