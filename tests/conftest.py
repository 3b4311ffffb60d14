"""What all tests share: Hypothesis profiles, and the data beside the project."""

import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

SHARED = Path(__file__).resolve().parents[1] / "../shared"

# Tests started in the background inherit an ignored SIGINT; what Ctrl-C does is tested.
signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("dev", max_examples=100, deadline=None)
settings.register_profile("ci", max_examples=300, deadline=None, derandomize=True)
settings.register_profile(
    "deep", max_examples=20_000, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of shared data; skip without it, unless it is required to be there."""
    if SHARED.is_dir():
        return SHARED.resolve()
    if os.environ.get("MESHNODE_REQUIRE_SHARED") == "1":
        pytest.fail(f"the shared data is not at {SHARED}, and MESHNODE_REQUIRE_SHARED is set")
    pytest.skip(f"the shared data is not at {SHARED}")
