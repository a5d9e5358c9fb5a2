"""What pages of a browser show of a store: curves in buckets, kept in memory, sent as binary frames."""
