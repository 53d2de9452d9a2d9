"""`python -m training evaluate`: which rows are judged, and a page that stands alone."""

import base64
import html.parser
import re

import numpy as np
import pytest

from core.bundle import load_bundle
from training.breakdown import MIN_FRAUDS, by_amount, by_hour, gain_shares, importances
from training.data import read_data
from training.evaluation import HOLDOUT, SEEN, UNKNOWN, draw, evaluate_bundle
from training.html_report import html_report
from training.schema import CREDITCARD

PNG = b"\x89PNG\r\n\x1a\n"
PICTURES = {
    "precision-recall.png",
    "roc.png",
    "calibration.png",
    "score-distribution.png",
    "cost-curve.png",
    "confusion.png",
    "average-precision-by-amount.png",
    "average-precision-by-hour.png",
    "importance.png",
}


class Page(html.parser.HTMLParser):
    """Collects what a browser would load, and checks that every element is closed."""

    VOID = frozenset({"meta", "img", "link", "br"})

    def __init__(self, text):
        super().__init__()
        self.loads, self.open, self.headings = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.loads += [value for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("h2", "h3"):
            self.headings.append(data)


@pytest.fixture(scope="module")
def evaluation(bundle_dir, data_file):
    return evaluate_bundle(load_bundle(bundle_dir), read_data(data_file, CREDITCARD), CREDITCARD, seed=2026)


@pytest.fixture(scope="module")
def report_dir(tmp_path_factory, bundle_dir, data_file, run_cli):
    out = tmp_path_factory.mktemp("reports") / "report"
    assert run_cli("evaluate", bundle_dir, data_file, "--out", out) == 0
    return out


def test_report_is_one_page_that_loads_nothing_and_its_pictures(report_dir):
    page = Page((report_dir / "report.html").read_text(encoding="utf-8"))

    assert page.open == []
    assert len(page.loads) >= len(PICTURES)
    for each in page.loads:
        assert each.startswith("data:image/png;base64,")
        assert base64.b64decode(each.split(",", 1)[1]).startswith(PNG)
    names = {path.name for path in report_dir.iterdir()}
    assert PICTURES | {"report.html"} <= names
    assert all((report_dir / name).read_bytes().startswith(PNG) for name in names - {"report.html"})


def test_report_tells_the_rows_the_frauds_and_the_intervals(report_dir, bundle_dir):
    text = re.sub(r"\s+", " ", (report_dir / "report.html").read_text(encoding="utf-8"))
    holdout = load_bundle(bundle_dir).manifest.holdout

    assert HOLDOUT.replace("'", "&#39;") in text
    assert f"<strong>{holdout.n_frauds} frauds</strong>" in text
    assert "1,000 stratified bootstrap resamples" in text
    assert f"{holdout.metrics['average_precision'].low:.3f} to" in text


def test_report_says_the_same_twice(bundle_dir, data_file, evaluation, report_dir):
    assert html_report(evaluation, draw(evaluation, 2026)) == (report_dir / "report.html").read_text(encoding="utf-8")


def test_holdout_figures_are_those_of_the_manifest(evaluation, bundle_dir):
    holdout = load_bundle(bundle_dir).manifest.holdout

    assert evaluation.rows == HOLDOUT
    assert evaluation.stream.scored.n_frauds == holdout.n_frauds
    for name, metric in holdout.metrics.items():
        assert evaluation.metrics[name].value == pytest.approx(metric.value, abs=1e-9)
        assert evaluation.metrics[name].low == pytest.approx(metric.low, abs=1e-6)


def test_every_row_of_the_training_is_said_to_flatter(bundle_dir, data_file):
    data = read_data(data_file, CREDITCARD)

    judged = evaluate_bundle(load_bundle(bundle_dir), data, CREDITCARD, seed=1, every_row=True)

    assert judged.rows == SEEN
    assert len(judged.stream.values) == len(data.table)


def test_other_rows_are_all_judged_and_said_to_be_perhaps_seen(tmp_path, bundle_dir, run_cli, capsys):
    other, out = tmp_path / "other.csv", tmp_path / "report"
    assert run_cli("simulate", "--rows", 1500, "--fraud-rate", 0.05, "--seed", 9, "--out", other) == 0

    assert run_cli("evaluate", bundle_dir, other, "--out", out) == 0

    assert UNKNOWN in capsys.readouterr().out
    text = (out / "report.html").read_text(encoding="utf-8")
    assert "rows the model may have seen" in text and 'class="warning"' in text


def test_names_from_the_bundle_are_escaped(evaluation):
    pictures = draw(evaluation, 2026)
    worse = [type(each)("<script>alert(1)</script>", 0.1, 0.0, 0.1) for each in evaluation.importances[:1]]
    hostile = type(evaluation)(**{**vars(evaluation), "importances": worse})

    text = html_report(hostile, pictures)

    assert "<script>" not in text
    assert "&lt;script&gt;" in text


def test_groups_hold_every_row_once(evaluation):
    scored = evaluation.stream.scored
    hours = by_hour(evaluation.stream, seed=1, n_resamples=50)

    for groups in (by_amount(evaluation.stream, seed=1, n_resamples=50), hours):
        assert sum(each.n_frauds for each in groups) == scored.n_frauds
        assert sum(each.n_legitimate for each in groups) == scored.n_legitimate
        for each in groups:
            assert (each.average_precision is None) == (each.n_frauds < MIN_FRAUDS)


def test_importance_names_every_field_the_model_sees_the_most_important_first(bundle_dir, evaluation):
    bundle = load_bundle(bundle_dir)
    found = importances(bundle, evaluation.stream, 1, lambda _: None)

    assert {each.field for each in found} == {feature.field for feature in bundle.manifest.features}
    assert [each.loss for each in found] == sorted((each.loss for each in found), reverse=True)
    assert found[0].loss > 0
    assert sum(gain_shares(bundle).values()) == pytest.approx(1.0)


def test_mistakes_are_mistakes_and_numbered_in_the_table(evaluation, data_file):
    table = read_data(data_file, CREDITCARD).table
    assert evaluation.mistakes is not None

    for mistake in evaluation.mistakes.false_alarms:
        assert not table.is_fraud[mistake.row - 1]
        assert mistake.decision != "approve"
        assert table.values[mistake.row - 1, CREDITCARD.amount_column] == mistake.amount
    for mistake in evaluation.mistakes.misses:
        assert table.is_fraud[mistake.row - 1]
        assert mistake.decision == "approve"
    scores = [each.fraud_score for each in evaluation.mistakes.false_alarms]
    assert scores == sorted(scores, reverse=True)
    assert all(len(each.reasons) == 5 for each in evaluation.mistakes.misses)


def test_a_directory_that_cannot_be_written_is_one_line(tmp_path, bundle_dir, data_file, run_cli, capsys):
    blocked = tmp_path / "file"
    blocked.write_text("here already")

    assert run_cli("evaluate", bundle_dir, data_file, "--out", blocked) == 2
    assert "cannot be written" in capsys.readouterr().err
    assert np.array_equal(list(tmp_path.iterdir()), [blocked])
