"""The model that compares words with tokens: NumPy as torch, arrays of strangers, what it learns and refuses."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from imseek.encoders.fake import FakeEncoder
from imseek.encoders.interaction_training import InteractionPairs, train_interaction
from imseek.encoders.patch_features import PatchAlignment
from imseek.encoders.token_interaction import TOKENS, Interaction
from imseek.progress import SILENT, Progress, StopRequest, Task
from imseek.tune import reranker
from imseek.tune.data_split import Split
from imseek.tune.examples import Examples
from imseek.tune.reranker import Part

DIM, WIDTH, PATCHES = 24, 40, 9
WORDS = 60


class Simulated:
    """An encoder whose patches hold the words of a caption, turned by a matrix that it does not tell of, and noise.

    The first stage's vector of a picture is the mean of its patches in the wrong space, as of a weak encoder.
    """

    def __init__(self) -> None:
        generator = np.random.default_rng(0)
        self.words = generator.standard_normal((WORDS, DIM)).astype(np.float32)
        self.turned = self.words @ generator.standard_normal((DIM, WIDTH)).astype(np.float32) / DIM**0.5
        # Right for half of the dimensions, so that there is something to start from.
        guess = np.linalg.pinv(self.turned) @ self.words
        guess[:, DIM // 2 :] = 0
        self.alignment = PatchAlignment(
            guess.astype(np.float32),
            np.zeros(DIM, np.float32),
            np.eye(DIM, dtype=np.float32),
            np.zeros(DIM, np.float32),
        )

    def patch_alignment(self) -> PatchAlignment:
        return self.alignment

    def part(self, count: int, seed: int, *, told: bool = True) -> Part:
        """Captions of three words, each in a patch of its own; not ``told``, captions are those of other pictures."""
        generator = np.random.default_rng(seed)
        captions = np.stack([generator.choice(WORDS, 3, replace=False) for _ in range(count)])
        features = generator.standard_normal((count, PATCHES, WIDTH)).astype(np.float32)
        for row, caption in zip(features, captions, strict=True):
            row[generator.choice(PATCHES, 3, replace=False)] += 3 * self.turned[caption]
        vectors = features.mean(axis=1) @ self.alignment.image + generator.standard_normal((count, DIM)).astype(
            np.float32
        )
        if not told:
            captions = np.stack([generator.choice(WORDS, 3, replace=False) for _ in range(count)])
        states = tuple(self.words[caption] for caption in captions)
        words = np.stack([one.mean(axis=0) for one in states])
        each = np.arange(count)
        return Part(
            features=features.astype(np.float16),
            images=vectors / np.linalg.norm(vectors, axis=1, keepdims=True),
            states=states,
            words=words / np.linalg.norm(words, axis=1, keepdims=True),
            pairs=np.stack([each, each], axis=1),
            groups=each,
        )


def trained(steps: int) -> tuple[Interaction, Part]:
    encoder = Simulated()
    part = encoder.part(40, 1)
    pairs = InteractionPairs(part.features, part.states, part.pairs, part.first_stage(10), part.belongs)
    every = train_interaction(pairs, encoder.alignment, seed=0, every=steps)
    return list(islice(every, 2))[1][1], part


@pytest.fixture(scope="module")
def model() -> Interaction:
    return trained(3)[0]


def test_numpy_computes_what_torch_learned_by() -> None:
    import torch

    from imseek.encoders import interaction_training as training

    encoder = Simulated()
    part = encoder.part(5, 1)
    weights = training._initial(encoder.alignment, PATCHES, torch.Generator().manual_seed(0))
    for one in weights.learned.values():
        one.data += 0.1 * torch.randn(one.shape, generator=torch.Generator().manual_seed(1))
    model = weights.model()
    features = torch.from_numpy(part.features.astype(np.float32))
    tokens = weights.compress(features, features @ weights.fixed["values"])
    assert np.abs(model.compress(features.numpy()) - tokens.detach().numpy()).max() < 1e-5
    states = (part.states[0], part.states[1][:1], part.states[2])
    scores = weights.score(*training._pad(states), tokens).detach().numpy()
    for row, one in zip(scores, states, strict=True):
        assert np.abs(model.score(one, tokens.detach().numpy()) - row).max() < 1e-4


def test_tokens_are_unit_rows(model: Interaction) -> None:
    tokens = model.compress(Simulated().part(3, 2).features.astype(np.float32))
    assert tokens.shape == (3, TOKENS, DIM) == (3, *model.shape)
    assert np.allclose(np.linalg.norm(tokens, axis=2), 1, atol=1e-5)


def test_a_model_is_what_its_arrays_say(model: Interaction) -> None:
    part = Simulated().part(4, 3)
    tokens = model.compress(part.features.astype(np.float32))
    again = Interaction.of(model.arrays)
    assert np.array_equal(again.score(part.states[0], tokens), model.score(part.states[0], tokens))
    assert again.fingerprint("a") == model.fingerprint("a") != model.fingerprint("b")
    # Tokens depend on the compression alone: what compares them may change.
    assert replace(model, gate=model.gate + 1).fingerprint("a") == model.fingerprint("a")
    assert replace(model, keys=model.keys + 1).fingerprint("a") != model.fingerprint("a")


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("values", np.zeros((WIDTH, DIM + 1), np.float32), "does not fit"),
        ("queries", np.zeros((0, 32), np.float32), "does not fit"),
        ("positions", np.zeros(3, np.float32), "does not fit"),
        ("outer", np.zeros((), np.float32), "does not fit"),
        ("scales", np.zeros(3, np.float32), "does not fit"),
        ("text", np.zeros((DIM, DIM), np.float64), "does not fit"),
        ("gate", np.full(DIM, np.nan, np.float32), "numbers that no model has"),
        ("keys", None, "lacks keys"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(
    model: Interaction, name: str, array: np.ndarray | None, message: str
) -> None:
    arrays = {**model.arrays, name: array}
    if array is None:
        del arrays[name]
    with pytest.raises(ValueError, match=message):
        Interaction.of(arrays)


@pytest.mark.parametrize("side", ["hidden", "key", "tokens"])
def test_sides_that_no_model_has_are_refused(side: str) -> None:
    sides = {"hidden": 2, "key": 2, "tokens": 2, side: 1025}
    sides = {"width": 2, "patches": 2, "dim": 2, "text": 2, **sides}
    with pytest.raises(ValueError, match="larger than that of any model"):
        Interaction.of(zeros(**sides).arrays)
    assert Interaction.of(zeros(**{**sides, side: 1024}).arrays)


def zeros(*, hidden: int, key: int, tokens: int, width: int, patches: int, dim: int, text: int) -> Interaction:
    shapes = {
        "queries": (tokens, key), "keys": (width, key), "positions": (tokens, patches), "values": (width, dim),
        "values_bias": (dim,), "text": (text, dim), "text_bias": (dim,), "gate": (dim,), "inner_word": (dim, hidden),
        "inner_token": (dim, hidden), "inner_bias": (hidden,), "outer": (hidden,), "scales": (2,),
    }  # fmt: skip
    return Interaction(**{name: np.zeros(shape, np.float32) for name, shape in shapes.items()})


def test_pictures_are_scored_in_blocks_of_64_mb(model: Interaction) -> None:
    largest = zeros(hidden=1024, key=2, tokens=1024, width=2, patches=2, dim=2, text=2)
    states, tokens = np.ones((32, 2), np.float32), np.ones((200, 1024, 2), np.float32)
    tracemalloc.start()
    assert not largest.score(states, tokens).any()
    used = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert used < 400e6  # At once, the 1,024 numbers of all tokens alone would be 839 MB.
    part = Simulated().part(40, 3)
    made = model.compress(part.features.astype(np.float32))
    each = np.concatenate([model.score(part.states[0], made[n : n + 1]) for n in range(40)])
    assert np.allclose(model.score(part.states[0], made), each, atol=1e-4)


def test_a_text_without_words_scores_nothing(model: Interaction) -> None:
    part = Simulated().part(4, 3)
    tokens = model.compress(part.features.astype(np.float32))
    assert np.array_equal(model.score(np.empty((0, DIM), np.float32), tokens), np.zeros(4, np.float32))


class Worded:
    """An encoder that finds no words in texts of zero-width characters."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def token_states(self, texts: Sequence[str], most: int) -> list[np.ndarray]:
        self.seen += texts
        return [np.ones((len(text.strip("\u200b").split()), 3), np.float32)[:most] for text in texts]


def test_texts_of_pictures_that_were_read_are_learned_if_they_have_words() -> None:
    examples = Examples(
        source="captions",
        ids=np.array([3, 5, 8, 9]),
        images=np.eye(4, dtype=np.float32),
        texts=("a", "\u200b", "b", "c d", *("e",) * 40),
        words=np.ones((44, 4), np.float32),
        pairs=np.array([[0, 0], [1, 0], [1, 1], [2, 2], [3, 3], *([n, 3] for n in range(4, 44))]),
        apart=np.empty((0, 2), np.int64),
    )
    features = {image_id: np.full((2, 2), image_id, np.float16) for image_id in (3, 5, 9)}
    encoder = Worded()
    states = reranker.read_states(examples, encoder, features, SILENT)  # type: ignore[arg-type]
    assert "b" not in encoder.seen
    assert [*states] == [0, 3, *range(4, 44)]
    each = np.arange(4)
    part = reranker._part(examples, Split(each, each, each, each), each, features, states)
    assert (len(part.images), len(part.states), len(part.belongs)) == (3, 42, 42)
    assert part.pairs[:2].tolist() == [[0, 0], [1, 2]]
    assert part.features[:, 0, 0].tolist() == [3, 5, 9]
    assert not features
    # It can be stopped between any two batches, and says how far it is.
    seen: list[Progress] = []
    stop = StopRequest()
    task = Task(lambda now: (seen.append(now), stop.set()), stop, interval=0)  # type: ignore[func-returns-value]
    assert len(reranker.read_states(examples, encoder, (3, 9), task)) < 42  # type: ignore[arg-type]
    assert [(now.phase, now.done, now.total) for now in seen] == [("words", 32, 43)]


def test_it_learns_where_pictures_hold_what_captions_say() -> None:
    encoder = Simulated()
    parts = [encoder.part(count, seed) for seed, count in enumerate((200, 40, 100))]
    model, gained = reranker.learn(parts, encoder, 0, SILENT)  # type: ignore[arg-type, misc]
    assert gained.helps
    assert gained.weight > 0
    assert gained.gain.low > 0.02
    assert gained.after.r1 > gained.before.r1
    assert model.shape == (TOKENS, DIM)


def test_it_is_refused_where_captions_are_of_other_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reranker, "STEPS", 40)
    encoder = Simulated()
    parts = [encoder.part(count, seed, told=False) for seed, count in enumerate((100, 40, 100))]
    learned = reranker.learn(parts, encoder, 0, SILENT)  # type: ignore[arg-type]
    assert learned is not None
    assert not learned[1].helps
    assert learned[1].gain.low <= 0


def test_the_order_stays_where_no_weight_helps() -> None:
    scores = np.random.default_rng(0).standard_normal(50).astype(np.float32)
    assert (np.diff(reranker.combine(scores, 0.0)) < 0).all()


def test_a_cell_of_the_fake_encoder_has_the_vector_of_its_colour() -> None:
    encoder = FakeEncoder()
    plain = np.full((1, 8, 8, 3), (255, 255, 0), np.float32)
    alignment = encoder.patch_alignment()
    cells = encoder.patch_features(plain)[0] @ alignment.image + alignment.image_bias
    (states,) = encoder.token_states(["yellow house"], 9)
    assert states.shape == (2, 64)
    assert np.allclose(cells / np.linalg.norm(cells, axis=1, keepdims=True), states[:1] @ alignment.text, atol=1e-5)
