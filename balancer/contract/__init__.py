"""What authors of plugins, models and training loops rely on; nothing here needs torch."""
