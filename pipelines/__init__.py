"""Dagster: assets, checks, jobs, schedules and sensors. Thin: every body calls the packages below."""
