"""What `sync` does: listing sources, telling what changed, following files that were moved."""
