"""Only scripts/test-browser has all that these tests need, and names the browser."""

import os

collect_ignore_glob = [] if "CHROMIUM" in os.environ else ["test_*.py"]
