"""Pictures of a drive's cameras, and media whose pictures may be seen: what several workflows of this area share."""
