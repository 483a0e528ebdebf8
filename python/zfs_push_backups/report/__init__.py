"""What people look at: progress, logs, error lines."""
