"""Bundle -> model.tar.gz, as the built-in XGBoost container wants it: `make package-model`.

The container loads every file of the archive as one more member of an ensemble, so there is exactly one. The bytes
depend on the booster only, so that their digest names it.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import sys
import tarfile
from pathlib import Path

from core.bundle import BOOSTER, Bundle, load_bundle
from core.errors import BundleError

DEFAULT_BUNDLE = Path("models/creditcard")
DEFAULT_OUTPUT = Path("build/model.tar.gz")
_EXIT_CONFIGURATION = 2


def package_model(bundle: Bundle) -> bytes:
    """Return the archive that hosts the booster of `bundle`."""
    booster = bundle.files[BOOSTER]
    member = tarfile.TarInfo(BOOSTER)
    member.size = len(booster)
    member.mode = 0o644
    plain, packed = io.BytesIO(), io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        archive.addfile(member, io.BytesIO(booster))
    with gzip.GzipFile(filename="", fileobj=packed, mode="wb", mtime=0) as stream:
        stream.write(plain.getvalue())
    return packed.getvalue()


def digest_of(archive: bytes) -> str:
    """Return the sha256 of the archive, in hex."""
    return hashlib.sha256(archive).hexdigest()


def main(arguments: list[str] | None = None) -> int:
    """Write the archive and print its digest; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--bundle", type=Path, default=DEFAULT_BUNDLE, help=f"directory ({DEFAULT_BUNDLE})")
    parser.add_argument("--out", type=Path, default=DEFAULT_OUTPUT, help=f"file to write ({DEFAULT_OUTPUT})")
    options = parser.parse_args(arguments)
    try:
        archive = package_model(load_bundle(options.bundle))
    except BundleError as error:
        print(f"package-model: {error}", file=sys.stderr)
        return _EXIT_CONFIGURATION
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_bytes(archive)
    print(f"{digest_of(archive)}  {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
