"""What is measured: reviewed definitions, compiled to SQL, down to the moments that the statistics read."""

from metrics.load import load_metrics, metric_to_toml
from metrics.model import Kind, Metric, MetricsError, Part

__all__ = ["Kind", "Metric", "MetricsError", "Part", "load_metrics", "metric_to_toml"]
