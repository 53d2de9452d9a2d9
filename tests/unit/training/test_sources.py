import gzip
import hashlib
import json
import urllib.request

import numpy as np
import pandas as pd
import pytest

from training.columns import Columns
from training.data import open_data, read_data
from training.documents import csv_text, table_bytes
from training.errors import DataError
from training.schema import CREDITCARD


@pytest.fixture(scope="module")
def small(simulator):
    return simulator.draw(300, 30, seed=4)


@pytest.fixture
def csv_path(tmp_path, small):
    path = tmp_path / "all.csv"
    path.write_bytes(table_bytes(small, CREDITCARD, ".csv"))
    return path


def test_read_data_parquet_reads_the_same_as_csv(csv_path, tmp_path, small):
    parquet = tmp_path / "all.parquet"
    frame = pd.DataFrame(small.values, columns=CREDITCARD.field_names).assign(Class=small.is_fraud)
    frame.to_parquet(parquet)

    assert read_data(parquet, CREDITCARD).table.digest() == read_data(csv_path, CREDITCARD).table.digest()


@pytest.mark.parametrize("by", ["names", "pattern"])
def test_read_data_several_files_are_one_table(csv_path, tmp_path, by):
    header, *rows = csv_path.read_text().splitlines()
    days = tmp_path / "days"
    days.mkdir()
    (days / "1.csv").write_text("\n".join([header, *rows[:100]]) + "\n")
    (days / "2.csv.gz").write_bytes(gzip.compress(("\n".join([header, *rows[100:]]) + "\n").encode()))

    together = read_data([days / "1.csv", days / "2.csv.gz"] if by == "names" else [str(days / "*.csv*")], CREDITCARD)

    whole = read_data(csv_path, CREDITCARD)
    assert together.table.digest() == whole.table.digest()
    assert (together.n_files, together.n_rows) == (2, whole.n_rows)
    assert together.sha256 != whole.sha256


def test_read_data_files_with_other_columns_are_refused_by_name(csv_path, tmp_path):
    other = tmp_path / "other.csv"
    other.write_text(csv_path.read_text().replace("V7", "V99", 1))

    with pytest.raises(DataError, match=r"other\.csv: other columns than .*all\.csv: V7, V99"):
        read_data([csv_path, other], CREDITCARD)


def test_read_data_pattern_that_fits_nothing_is_refused(tmp_path):
    with pytest.raises(DataError, match="no file fits the pattern"):
        read_data(str(tmp_path / "*.csv"), CREDITCARD)


def test_read_data_broken_parquet_is_refused(tmp_path):
    path = tmp_path / "broken.parquet"
    path.write_bytes(b"PAR1 and then nothing of the kind")

    with pytest.raises(DataError, match="not a whole Parquet file"):
        read_data(path, CREDITCARD)


def cache_openml(folder, table, *, number):
    """Lay a data set into scikit-learn's cache, as OpenML would have answered; `Time` is a column to be ignored."""
    names = [*CREDITCARD.field_names, "Class"]
    rows = [[*row, f"'{int(label)}'"] for row, label in zip(table.values.tolist(), table.is_fraud, strict=True)]
    types = [f"@ATTRIBUTE {name} {'REAL' if name != 'Class' else '{0,1}'}" for name in names]
    arff = "\n".join(["@RELATION creditcard", *types, "@DATA", csv_text(rows[0], rows[1:])])
    features = [
        {
            "index": str(index), "name": name, "data_type": "nominal" if name == "Class" else "numeric",
            "is_target": str(name == "Class").lower(), "is_ignore": str(name == "Time").lower(),
            "is_row_identifier": "false", "number_of_missing_values": "0",
        }
        for index, name in enumerate(names)
    ]  # fmt: skip
    description = {
        "id": str(number), "name": "creditcard", "version": "1", "format": "ARFF", "file_id": "77", "status": "active",
        "default_target_attribute": "Class", "description": "Simulated.", "licence": "Public",
        "ignore_attribute": "Time",
        "url": "https://www.openml.org/data/v1/download/77/creditcard.arff",
        "md5_checksum": hashlib.md5(arff.encode(), usedforsecurity=False).hexdigest(),
    }  # fmt: skip
    api = f"api/v1/json/data/{number}", f"api/v1/json/data/features/{number}", f"api/v1/json/data/qualities/{number}"
    documents = [
        {"data_set_description": description},
        {"data_features": {"feature": features}},
        {"data_qualities": {"quality": [{"name": "NumberOfInstances", "value": str(len(rows))}]}},
    ]
    contents = {path: json.dumps(document) for path, document in zip(api, documents, strict=True)}
    contents["data/v1/download/77/creditcard.arff"] = arff
    for path, text in contents.items():
        target = folder / "openml" / "openml.org" / f"{path}.gz"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(gzip.compress(text.encode()))


def test_open_data_openml_comes_from_the_library_s_cache_without_time(tmp_path, monkeypatch, small):
    cache_openml(tmp_path, small, number=1597)
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path))

    data, schema = open_data("openml:1597", None)

    assert schema.field_names == CREDITCARD.field_names[1:]
    assert np.array_equal(data.table.values, small.values[:, 1:])
    assert data.table.is_fraud.sum() == 30


def test_open_data_openml_that_cannot_be_reached_is_one_clear_error(tmp_path, monkeypatch):
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    # An opener that an earlier request left behind would not ask for the proxy.
    monkeypatch.setattr(urllib.request, "_opener", None)

    with pytest.raises(DataError, match=r"openml:1597: OpenML cannot be reached \(.*refused.*download the file"):
        open_data("openml:1597", None)


@pytest.mark.parametrize("name", ["openml:", "openml:creditcard", "openml:0", "openml:1597/../1"])
def test_open_data_openml_without_a_number_is_refused(name):
    with pytest.raises(DataError, match="give the number of a data set"):
        open_data(name, Columns(target="Class", amount="Amount"))
