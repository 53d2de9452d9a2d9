"""The shipped booster scores the same under each XGBoost that may host it.

The containers run 3.0.5 and 3.2.0. A booster saved by XGBoost 3.1 or newer loads under 3.0.5 without an error, but
with another base score.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from core.bundle import BOOSTER, GOLDEN_TOLERANCE, Bundle

pytestmark = pytest.mark.e2e

PACKAGE = "xgboost" if sys.platform == "darwin" else "xgboost-cpu"
SCORE = """
import json, sys
import numpy as np
import xgboost as xgb
booster = xgb.Booster()
booster.load_model(bytearray(open(sys.argv[1], "rb").read()))
rows = np.array(json.load(sys.stdin), dtype=np.float32)
scores = booster.predict(xgb.DMatrix(rows), validate_features=False).tolist()
print(json.dumps({"version": xgb.__version__, "scores": scores}))
"""


def newest_python() -> str:
    """Return an interpreter that the newest XGBoost supports, which has left Python 3.11 behind, if there is one."""
    for name in ("python3.13", "python3.12"):
        path = shutil.which(name)
        if path is not None and subprocess.run([path, "-c", ""], check=False, capture_output=True).returncode == 0:  # noqa: S603
            return path
    return sys.executable


@pytest.mark.parametrize("version", ["3.0.5", "3.2.0", "newest"])
def test_shipped_booster_gives_the_golden_scores(creditcard: Bundle, tmp_path: Path, version: str) -> None:
    subprocess.run([newest_python(), "-m", "venv", tmp_path / "venv"], check=True)  # noqa: S603
    python = tmp_path / "venv" / "bin" / "python"
    wanted = PACKAGE if version == "newest" else f"{PACKAGE}=={version}"
    subprocess.run([python, "-m", "pip", "install", "--quiet", wanted], check=True)  # noqa: S603
    booster = tmp_path / BOOSTER
    booster.write_bytes(creditcard.files[BOOSTER])

    done = subprocess.run(  # noqa: S603
        [python, "-c", SCORE, booster],
        input=json.dumps(creditcard.golden_features().tolist()),
        capture_output=True,
        text=True,
        check=True,
    )

    answer = json.loads(done.stdout)
    assert version in (answer["version"], "newest")
    assert np.abs(np.array(answer["scores"]) - creditcard.golden.raw_scores).max() <= GOLDEN_TOLERANCE
