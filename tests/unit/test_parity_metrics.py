"""Our metrics give what CLIP_benchmark's own functions give on the same vectors: figures by bench/parity_metrics.py."""

from __future__ import annotations

import numpy as np
import pytest
from metric_vectors import CASES, KS, captioned_vectors, class_vectors, unit
from sklearn.metrics import average_precision_score

from imseek.metrics import classification
from imseek.metrics.retrieval import RelevantItems, rank_items

#: What clip-benchmark 1.6.2 says, by case.
THEIRS = {
    (300, 64, 2.5, 0): {
        "words → picture R@1": 0.835616409778595,
        "picture → words R@1": 0.8199999928474426,
        "words → picture R@5": 0.9840182662010193,
        "picture → words R@5": 0.9566666483879089,
        "words → picture R@10": 0.9931507110595703,
        "picture → words R@10": 0.9833333492279053,
        "words → picture R@50": 1.0,
        "picture → words R@50": 1.0,
        "words → picture mAP": 0.8998037739805708,
        "picture → words mAP": 0.7578183884732426,
        "zero-shot acc1": 0.85,
        "zero-shot acc5": 0.9933333333333333,
        "zero-shot mean per-class recall": 0.8700253232556849,
    },
    (1000, 512, 15.0, 1): {
        "words → picture R@1": 0.12604200839996338,
        "picture → words R@1": 0.15299999713897705,
        "words → picture R@5": 0.27809271216392517,
        "picture → words R@5": 0.38199999928474426,
        "words → picture R@10": 0.3834611475467682,
        "picture → words R@10": 0.49399998784065247,
        "words → picture R@50": 0.6608869433403015,
        "picture → words R@50": 0.7599999904632568,
        "words → picture mAP": 0.20959524552981584,
        "picture → words mAP": 0.13380431869393214,
        "zero-shot acc1": 0.434,
        "zero-shot acc5": 0.855,
        "zero-shot mean per-class recall": 0.43950791354368307,
    },
    (57, 16, 2.5, 2): {
        "words → picture R@1": 0.4467005133628845,
        "picture → words R@1": 0.5263158082962036,
        "words → picture R@5": 0.7664974331855774,
        "picture → words R@5": 0.859649121761322,
        "words → picture R@10": 0.8730964660644531,
        "picture → words R@10": 0.9122806787490845,
        "words → picture R@50": 1.0,
        "picture → words R@50": 0.9824561476707458,
        "words → picture mAP": 0.5875436207043186,
        "picture → words mAP": 0.4691830181696436,
        "zero-shot acc1": 0.42105263157894735,
        "zero-shot acc5": 0.8070175438596491,
        "zero-shot mean per-class recall": 0.32655122655122654,
    },
}


@pytest.mark.parametrize("case", CASES)
def test_retrieval(case: tuple[int, int, float, int]) -> None:
    images, texts, owner = captioned_vectors(*case)
    forth = rank_items(texts, images, RelevantItems.of(np.arange(len(owner)), owner, len(owner)))
    back = rank_items(images, texts, RelevantItems.of(owner, np.arange(len(owner)), len(images)))
    theirs = THEIRS[case]
    for k in KS:  # Theirs are means of float32.
        assert np.float32(forth.hits(k).mean()) == np.float32(theirs[f"words → picture R@{k}"])
        assert np.float32(back.hits(k).mean()) == np.float32(theirs[f"picture → words R@{k}"])
    assert forth.precision.mean() == pytest.approx(theirs["words → picture mAP"], abs=1e-6)
    assert back.precision.mean() == pytest.approx(theirs["picture → words mAP"], abs=1e-6)
    for n in range(5):
        alone = average_precision_score(owner == n, texts.astype(float) @ images[n].astype(float))
        assert back.precision[n] == pytest.approx(alone)


@pytest.mark.parametrize("case", CASES)
def test_zero_shot(case: tuple[int, int, float, int]) -> None:
    images, truth, prompts = class_vectors(*case)
    scores = images @ unit(prompts.mean(axis=1)).T
    found = classification.ranks(scores, truth)
    theirs = THEIRS[case]
    assert np.mean(found <= 1) == theirs["zero-shot acc1"]
    assert np.mean(found <= 5) == theirs["zero-shot acc5"]
    each = classification.per_class_accuracy(truth, scores.argmax(axis=1), len(prompts))
    assert np.nanmean(each) == pytest.approx(theirs["zero-shot mean per-class recall"], abs=1e-12)
