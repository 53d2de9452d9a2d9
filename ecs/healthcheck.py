"""The health check of the container, for Docker and ECS: exits 0 when the server in it answers."""

from __future__ import annotations

import http.client
import sys

PORT = 8000
"""The port that the image serves on, whatever PORT in the environment says."""


def main() -> int:
    """Ask the server once; return 0 when it is alive."""
    # Not urllib: a proxy in the environment must not come between.
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=2)
    try:
        connection.request("GET", "/health")
        return 0 if connection.getresponse().status == http.client.OK else 1
    except (OSError, http.client.HTTPException) as error:
        sys.stderr.write(f"no answer from /health: {error}\n")
        return 1
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
