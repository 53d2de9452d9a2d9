import json

import pytest

from core.bundle import load_bundle
from tests.repository import BUNDLE, ROOT
from tests.tiny_bundle import FIELDS, write_tiny_bundle
from training.terminal import OUTPUT


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    monkeypatch.setattr(OUTPUT, "_width", 120)


def rows_of(text):
    """Return the cells of every row of the printed tables."""
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if line.startswith("│")]


def test_explain_shows_the_reasons_of_a_posted_transaction(run_cli, capsys):
    assert run_cli("explain", BUNDLE, ROOT / "events" / "predict_fraud.json") == 0

    out = capsys.readouterr().out
    assert "fraud-1: fraud score 0.956" in out
    assert "decline" in out
    posted = json.loads((ROOT / "events" / "predict_fraud.json").read_text())
    rows = rows_of(out)
    assert len(rows) == 5
    impacts = [abs(float(impact)) for _, _, impact, _ in rows]
    assert impacts == sorted(impacts, reverse=True)
    for name, value, impact, bar in rows:
        assert float(value) == pytest.approx(posted[name], rel=1e-4)
        assert bar.endswith("raises" if impact.startswith("+") else "lowers")
        assert bar.count("█") >= 1


def test_explain_shows_each_transaction_of_a_batch(run_cli, capsys):
    assert run_cli("explain", BUNDLE, ROOT / "events" / "batch.json") == 0

    out = capsys.readouterr().out
    assert [f"batch-{number}: fraud score" in out for number in range(1, 6)] == [True] * 5


def test_explain_shows_labels_where_the_bundle_has_them(run_cli, capsys, tmp_path):
    write_tiny_bundle(tmp_path / "tiny", fields=[*FIELDS[:2], {**FIELDS[2], "label": "Amount, €"}])
    (tmp_path / "one.json").write_text('{"json": 1.5, "class": 2, "log.amount": 300}')

    assert run_cli("explain", tmp_path / "tiny", tmp_path / "one.json") == 0

    assert "Amount, € (log.amount)" in capsys.readouterr().out


def test_explain_of_a_table_shows_the_fraud_with_the_highest_score_or_the_row_asked_for(
    run_cli, capsys, bundle_dir, data_file
):
    assert run_cli("explain", bundle_dir, data_file) == 0
    highest = capsys.readouterr().out
    assert run_cli("explain", bundle_dir, data_file, "--row", 1) == 0
    first = capsys.readouterr().out

    assert "decline" in highest
    assert "row 1: fraud score" in first
    assert run_cli("explain", bundle_dir, data_file, "--row", 3001) == 2
    assert "3000 distinct rows" in capsys.readouterr().err.replace("\n", " ")


def test_explain_agreement_prints_the_table(run_cli, capsys, bundle_dir, data_file):
    assert run_cli("explain", bundle_dir, data_file, "--agreement") == 0

    figures = {name: float(value) for name, value in rows_of(capsys.readouterr().out)}
    assert figures["frauds"] == 150
    assert figures["rows scored for one explanation"] == 457
    assert 0.5 < figures["of the three strongest are TreeSHAP's"] <= 1.0
    assert 0.5 < figures["strongest reason is TreeSHAP's"] <= 1.0
    assert figures["milliseconds for one, here"] > 0


def test_explain_says_what_is_wrong(run_cli, capsys, tmp_path, bundle_dir):
    write_tiny_bundle(tmp_path / "tiny", explanation=None)
    (tmp_path / "one.json").write_text('{"json": 1.5}')

    for arguments, reason in (
        ((tmp_path / "tiny", tmp_path / "one.json"), "no baseline"),
        ((bundle_dir, tmp_path / "one.json"), "fields are invalid"),
        ((bundle_dir, tmp_path / "none.json"), "No such file"),
        ((bundle_dir, ROOT / "events" / "predict_fraud.json", "--row", 1), "of a table"),
        ((bundle_dir, tmp_path / "none.csv"), "none.csv"),
    ):
        assert run_cli("explain", *arguments) == 2
        assert reason in capsys.readouterr().err.replace("\n", " ")


def test_label_of_the_columns_file_reaches_the_bundle(tmp_path, run_cli, data_file):
    columns = tmp_path / "columns.yaml"
    columns.write_text("target: Class\namount: Amount\nfields:\n  Amount: {label: Amount paid}\n")

    out = tmp_path / "bundle"
    assert run_cli("train", data_file, "--out", out, "--columns", columns, "--rotations", 1, "--name", "other") == 0

    fields = {field.name: field.label for field in load_bundle(out).manifest.fields}
    assert fields.pop("Amount") == "Amount paid"
    assert set(fields.values()) == {None}
