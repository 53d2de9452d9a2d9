import numpy as np
import pytest

from training.baseline import baseline
from training.weighting import real_world_weights


@pytest.fixture(scope="module")
def document(run):
    return baseline(run.split.train, run.validation, run.thresholds, run.schema, run.prevalence)


def distributions(document):
    return {**document["fields"], "fraud_score": document["fraud_score"]}


def test_baseline_describes_every_field_and_the_score(run, document):
    assert tuple(document["fields"]) == run.schema.field_names


def test_baseline_proportions_are_complete_and_edges_ascend(document):
    for each in distributions(document).values():
        assert len(each["proportions"]) == len(each["edges"]) + 1
        assert sum(each["proportions"]) == pytest.approx(1.0, abs=1e-6)
        assert (np.diff(each["edges"]) > 0).all()


def test_baseline_proportions_are_weighted_to_the_real_prevalence(run, document):
    train = run.split.train
    weights = real_world_weights(train, run.prevalence)
    edges = document["fields"]["V14"]["edges"]
    below = train.values[:, run.schema.field_names.index("V14")] < edges[0]

    assert document["fields"]["V14"]["proportions"][0] == pytest.approx(weights[below].sum() / weights.sum())


def test_baseline_score_bins_tell_the_share_of_alerts(run, document):
    score = document["fraud_score"]
    above = [
        p for edge, p in zip(score["edges"], score["proportions"][1:], strict=True) if edge >= run.thresholds.review
    ]
    flagged = run.validation.weights[run.validation.scores >= run.thresholds.review].sum()

    assert sum(above) == pytest.approx(flagged / run.validation.weights.sum())
