"""What the asset graph looked like when someone last looked at it on purpose."""
