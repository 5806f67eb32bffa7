"""What happens to a host while the site is being run, and whether the next plain run puts it right."""
