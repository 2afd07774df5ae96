"""Device profiles fitted to measurements, and the latency that they predict for layer tables."""

from evo_fair.latency.measurements import read_layers
from evo_fair.latency.profile import Profile, device_names, load_profile

__all__ = ["Profile", "device_names", "load_profile", "read_layers"]
