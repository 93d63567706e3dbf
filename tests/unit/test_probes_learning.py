"""Probes over plain arrays: against scikit-learn, against the paper's formula, and by what must not happen."""

from __future__ import annotations

import numpy as np
import pytest

from imseek.probes import active_learning, cache_model, calibration, holdout_groups, linear, model_selection
from imseek.probes.inference import LazyMapping

pytestmark = pytest.mark.slow


def clouds(each: int, classes: int = 3, dim: int = 16, noise: float = 0.5, seed: int = 0):
    """Unit rows around one direction for each class, and their classes."""
    generator = np.random.default_rng(seed)
    centres = np.linalg.qr(generator.normal(size=(dim, classes)))[0].T
    truth = np.repeat(np.arange(classes), each)
    rows = centres[truth] + noise * generator.normal(size=(len(truth), dim)) / np.sqrt(dim)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32), truth


class TestLinear:
    @pytest.mark.parametrize("each", [3, 40])  # fewer and more images than dimensions
    def test_it_is_scikit_learns_regression(self, each) -> None:
        from sklearn.linear_model import LogisticRegression

        rows, truth = clouds(each)
        (found,) = linear.fit(rows, truth, 3, [0.01])
        moved = rows - rows.mean(axis=0, dtype=np.float64)
        moved /= np.sqrt((moved**2).sum(axis=1).mean())
        reference = LogisticRegression(C=1 / (0.01 * len(rows)), max_iter=5000, tol=1e-8).fit(moved, truth)
        expected = reference.predict_proba(moved)
        assert np.allclose(calibration.probabilities(found.logits(rows), 1, False), expected, atol=2e-3)

    def test_two_classes_and_a_class_that_is_not_there(self) -> None:
        rows, truth = clouds(10, classes=2)
        (found,) = linear.fit(rows, truth * 2, 3, [0.001])
        logits = found.logits(rows)
        assert (logits.argmax(axis=1) == truth * 2).all()
        assert (calibration.probabilities(logits, 1, False)[:, 1] < 1e-6).all()

    def test_an_image_of_several_classes(self) -> None:
        rows, truth = clouds(20)
        marks = np.stack([truth == 0, truth != 2, np.ones(len(truth), bool)], axis=1)
        (found,) = linear.fit(rows, marks, 3, [0.001])
        assert ((found.logits(rows) > 0) == marks).all()

    def test_the_weaker_the_penalty_the_longer_the_weights(self) -> None:
        rows, truth = clouds(8)
        lengths = [np.linalg.norm(one.weights) for one in linear.fit(rows, truth, 3, linear.STRENGTHS)]
        assert lengths == sorted(lengths)


class TestCache:
    def test_it_is_the_formula_of_the_paper(self) -> None:
        """Tip-Adapter, equations 3 and 5, with as many images of each class: α exp(−β (1 − cos)) L + words."""
        rows, truth = clouds(4)
        asked, _ = clouds(5, seed=1)
        words, _ = clouds(1, seed=2)
        beta, weight, pivot = 5.5, 2.0, 0.7
        found = cache_model.build_cache_model(rows, truth, 3, words, beta, weight, pivot)
        one_hot = np.eye(3)[truth]
        alpha = np.exp(beta * (1 - pivot)) / 4
        expected = alpha * np.exp(-beta * (1 - asked @ rows.T)) @ one_hot + weight * asked @ words.T
        assert np.allclose(found.logits(asked), expected, atol=1e-4)

    def test_a_class_of_many_images_does_not_outvote_one_of_few(self) -> None:
        rows, truth = clouds(30, classes=2)
        some = np.r_[:30, 30:32]
        found = cache_model.build_cache_model(rows[some], truth[some], 2, None, 4.0, 0.0, 0.5)
        assert (found.logits(rows).argmax(axis=1) == truth).mean() > 0.95

    def test_without_words_none_are_kept(self) -> None:
        rows, truth = clouds(2)
        assert "words" not in cache_model.build_cache_model(rows, truth, 3, rows[:3], 4.0, 0.0, 0.5).arrays()


class TestCalibrating:
    @pytest.mark.parametrize("scale", [0.01, 1.0, 300.0])
    def test_the_temperature_undoes_a_scale(self, scale) -> None:
        generator = np.random.default_rng(0)
        logits = 2 * generator.normal(size=(20_000, 4))
        chances = calibration.probabilities(logits, 1, False)
        truth = (chances.cumsum(axis=1) < generator.random((len(logits), 1))).sum(axis=1).clip(max=3)
        found = calibration.temperature_of(scale * logits, truth)
        assert found == pytest.approx(scale, rel=0.05)
        told = calibration.probabilities(scale * logits, found, False)
        assert calibration.calibration_error(told, truth) < 0.02

    def test_of_several_answers_each_is_calibrated(self) -> None:
        generator = np.random.default_rng(0)
        logits = 2 * generator.normal(size=(20_000, 3))
        truth = generator.random(logits.shape) < 1 / (1 + np.exp(-logits))
        assert calibration.temperature_of(7 * logits, truth) == pytest.approx(7, rel=0.05)
        assert calibration.calibration_error(calibration.probabilities(logits, 1, True), truth) < 0.02

    def test_large_logits_are_no_nan(self) -> None:
        logits = np.array([[1000.0, -1000.0]])
        for several in (False, True):
            assert calibration.probabilities(logits, 1, several).tolist() == [[1.0, 0.0]]


class TestFolds:
    def test_a_group_is_never_split_and_a_class_never_gone(self) -> None:
        generator = np.random.default_rng(0)
        truth = np.repeat(np.arange(6), [1, 2, 3, 10, 20, 40])
        groups = np.arange(len(truth))
        groups[-5:] = groups[-5]  # copies
        fold = model_selection.assign_folds(truth, groups, 5, seed=3)
        assert len(np.unique(fold[-5:])) == 1
        assert fold[0] == -1  # the only one of its class
        for number in range(5):
            assert set(truth[fold != number]) == set(range(6))
        assert (fold[1:] >= 0).all()
        order = generator.permutation(len(truth))
        assert np.array_equal(model_selection.assign_folds(truth, groups, 5, 3), fold)
        assert len(np.unique(model_selection.assign_folds(truth[order], groups[order], 5, 3))) == 6

    def test_a_sample_holds_every_class(self) -> None:
        truth = np.repeat(np.arange(4), [1, 9, 90, 900])
        found = model_selection.stratified_sample(truth, 100, 0)
        counts = np.bincount(truth[found], minlength=4)
        assert counts[0] == 1
        assert counts.tolist() == pytest.approx([1, 1, 9, 89], abs=1)
        assert np.bincount(truth[model_selection.stratified_sample(truth, 100, 0, evenly=True)]).tolist() == [
            1,
            9,
            45,
            45,
        ]


class TestLearning:
    def test_copies_do_not_flatter(self) -> None:
        """Labels by chance: each image twice. Held out by image, its copy would give the answer away."""
        generator = np.random.default_rng(0)
        rows = generator.normal(size=(60, 16)).astype(np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        rows = np.concatenate([rows, rows])
        truth = np.tile(generator.integers(0, 2, 60), 2)
        groups = np.tile(np.arange(60), 2)
        honest = model_selection.select_model(rows, truth, 2, groups).best.accuracy
        fooled = model_selection.select_model(rows, truth, 2, np.arange(120)).best.accuracy
        assert honest is not None
        assert fooled is not None
        assert honest.value < 0.65
        assert fooled.value > 0.85

    def test_the_same_twice(self) -> None:
        rows, truth = clouds(10, noise=2.0)
        a, b = (model_selection.select_model(rows, truth, 3, np.arange(30)) for _ in range(2))
        figures = [[(one.settings, one.accuracy, one.log_loss) for one in x.results] for x in (a, b)]
        assert figures[0] == figures[1]
        assert np.array_equal(a.scorer.logits(rows), b.scorer.logits(rows))

    def test_words_are_used_where_they_help_and_left_where_not(self) -> None:
        rows, truth = clouds(3, classes=5, noise=3.0)
        right, _ = clouds(1, classes=5, noise=0.0)
        groups = np.arange(len(rows))
        helped = model_selection.select_model(rows, truth, 5, groups, right)
        assert helped.scorer.name == "cache"
        assert helped.best.settings["weight"] >= 1
        misled = model_selection.select_model(rows, truth, 5, groups, right[::-1].copy())
        assert misled.best.log_loss > helped.best.log_loss

    def test_one_image_of_each_class(self) -> None:
        rows, truth = clouds(1)
        found = model_selection.select_model(rows, truth, 3, np.arange(3))
        assert found.best.accuracy is None
        assert "nothing was measured" in found.notes[0]
        asked, classes = clouds(20)
        assert (found.scorer.logits(asked).argmax(axis=1) == classes).mean() > 0.9

    def test_what_is_common_to_all_is_taken_out(self) -> None:
        rows, truth = clouds(20)
        common = rows + 5 * np.ones(16, np.float32) / 4
        common /= np.linalg.norm(common, axis=1, keepdims=True)
        found = model_selection.centre_rows(common, common.mean(axis=0))
        assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
        near = found @ found.T
        assert near[truth[:, None] == truth].mean() > 0.5
        assert model_selection.centre_rows(common[:1], common[0]).tolist() == [[0.0] * 16]


class TestGroups:
    def test_content_likeness_and_who_is_like_both(self) -> None:
        angles = np.radians([0, 20, 40, 90, 90])
        rows = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
        hashes = np.array([0b1, 0b11, 0b111, 2**40 - 1, 7], np.uint64)
        contents = [b"a", b"b", b"c", b"d", b"d"]
        found = holdout_groups.group_copies(contents, hashes, rows)
        # 0 is like 1, and 1 like 2; the last two are one file, whatever their hashes say.
        assert found[0] == found[1] == found[2]
        assert found[3] == found[4] != found[0]
        copies = holdout_groups.find_copies(
            ([b"d"], hashes[3:4], rows[3:4]), ([b"x", b"d"], hashes[[0, 3]], rows[[0, 0]])
        )
        assert copies.tolist() == [False, True]


class TestProposing:
    def test_margins(self) -> None:
        chances = np.array([[0.5, 0.3, 0.2], [0.1, 0.45, 0.45]], np.float32)
        assert active_learning.margins(chances, False) == pytest.approx([0.2, 0.0])
        assert active_learning.margins(chances, True) == pytest.approx([0.0, 0.1], abs=1e-6)

    def test_the_less_sure_half_or_more(self) -> None:
        margin = np.array([0.9, 0.1, 0.5, 0.3], np.float32)
        assert active_learning.select_unsure(margin, 0).tolist() == [1, 3]
        assert active_learning.select_unsure(margin, 1).tolist() == [1, 3]
        assert active_learning.select_unsure(margin, 2).tolist() == [0, 1, 2, 3]
        assert active_learning.select_unsure(margin[:0], 1).tolist() == []

    def test_typical_of_what_is_not_known(self) -> None:
        rows, truth = clouds(30, classes=4, noise=0.3)
        known = np.flatnonzero(truth < 2)[::7]
        found = active_learning.select_typical(rows, known, 2)
        assert not set(found) & set(known)
        assert len(set(active_learning.select_typical(rows, known, len(rows)))) == len(rows) - len(known)
        # Three of four parts are known: what is proposed first is of the fourth.
        known = np.flatnonzero(np.isin(np.arange(len(rows)) % 30, (0, 1)) & (truth < 3))
        assert truth[active_learning.select_typical(rows, known, 1)].tolist() == [3]


def test_values_by_id() -> None:
    found = LazyMapping(np.array([3, 5, 9]), lambda row: "abc"[row])
    assert dict(found) == {3: "a", 5: "b", 9: "c"}
    assert (found.get(4), found.get(9), found.get(10), len(found)) == (None, "c", None, 3)
