"""Prompts that learn: vectors in place of words, what learns and what does not, and the choice of a probe."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import open_clip
import pytest
import safetensors.torch
import torch
from prompting import make_tower

from imseek.data.catalog.models import Model
from imseek.encoders import prompt_tower, registry
from imseek.encoders.builtin import BuiltinEncoder
from imseek.encoders.builtin.recipe import fingerprint
from imseek.encoders.prompt_tower import Prompts, PromptTower
from imseek.encoders.prompt_training import learn_prompts
from imseek.errors import CorruptCollectionError, EncoderError, EncoderMismatchError, UsageError
from imseek.probes import model_selection, probe_store, prompt_learning
from imseek.probes.model_selection import centre_rows, select_model
from imseek.probes.prompt_learning import ClassPrompts, PicturePrompts, PromptLearner

NAMES = ("apple", "horse", "lorry")
TINY = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
    "text_cfg": {"context_length": 20, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def toy(dim: int = 16, each: int = 4, noise: float = 0.5, seed: int = 0) -> tuple[PromptTower, np.ndarray, np.ndarray]:
    """A tower that knows the directions of the classes, and noisy pictures of them: rows, classes."""
    generator = np.random.default_rng(seed)
    directions = unit(generator.standard_normal((len(NAMES), dim)))
    truth = np.repeat(np.arange(len(NAMES)), each)
    rows = unit(directions[truth] + noise * generator.standard_normal((len(truth), dim)))
    tower = make_tower(dict(zip(NAMES, directions, strict=True)))
    return tower, centre_rows(rows, rows.mean(axis=0)), truth


def accuracy(logits: np.ndarray, truth: np.ndarray) -> float:
    return float((logits.argmax(axis=1) == truth).mean())


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> PromptTower:
    """The text tower of a small CLIP with random weights."""
    folder = tmp_path_factory.mktemp("tiny")
    torch.manual_seed(1)
    (folder / "imseek-prompts.json").write_text(json.dumps(TINY))
    open_clip.add_model_config(folder / "imseek-prompts.json")
    safetensors.torch.save_file(open_clip.create_model("imseek-prompts").state_dict(), folder / "weights.safetensors")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IMSEEK_CACHE", str(folder / "cache"))
        reference = f"openclip:imseek-prompts@{folder / 'weights.safetensors'}"
        made = registry.load(reference, modalities=("text",)).fingerprint()
        with pytest.raises(EncoderMismatchError):
            registry.load_prompt_tower(reference, "0" * 64)
        return registry.load_prompt_tower(reference, made)


class TestTowers:
    @pytest.mark.parametrize("version", [1, 2])
    def test_builtin_on_torch_is_builtin_on_onnx(self, version) -> None:
        tower = registry.load_prompt_tower("builtin", fingerprint(version))
        encoder = BuiltinEncoder(modalities=("text",), version=version)
        names = ["a photo of a red car", "tree", "x-ray of a hand", "Straße bei Nacht"]
        with torch.no_grad():
            rows = tower.encode(torch.from_numpy(tower.tokenize(names)), names).numpy()
        assert np.abs(rows - encoder.encode_texts(names)).max() < 1e-5
        # Vectors that are those of words give what the words give, whatever they stand before.
        asked = Prompts(tower, ["tree", "x-ray of a hand"], 4)
        with torch.no_grad():
            rows = asked.encode(torch.from_numpy(asked.first_contexts(0))).numpy()
        assert np.abs(rows - encoder.encode_texts(["a photo of a tree", "a photo of a x-ray of a hand"])).max() < 1e-5

    def test_a_gradient_reaches_the_vectors_alone(self, tiny) -> None:
        asked = Prompts(tiny, NAMES, 4)
        contexts = torch.from_numpy(asked.first_contexts(0)).requires_grad_(True)
        rows = asked.encode(contexts)
        assert rows.shape == (3, 24)
        rows.square()[:, 0].sum().backward()
        assert contexts.grad is not None
        assert (contexts.grad.abs().sum(dim=1) > 0).all()
        assert not tiny.embedding.weight.requires_grad
        assert not tiny.embedding._forward_hooks
        with torch.no_grad():
            words = tiny.encode(torch.from_numpy(tiny.tokenize([f"a photo of a {name}" for name in NAMES])), NAMES)
        assert torch.allclose(rows, words, atol=1e-6)

    def test_shapes_of_vectors_for_classes_and_pictures(self, tiny) -> None:
        asked = Prompts(tiny, NAMES, 2)
        shared = torch.from_numpy(asked.first_contexts(0))
        assert shared.shape == (2, 32)
        with torch.no_grad():
            assert torch.equal(asked.encode(shared), asked.encode(shared.expand(3, 2, 32)))
            both = asked.encode(torch.stack([shared, 2 * shared])[:, None])
            assert both.shape == (2, 3, 24)
            assert torch.allclose(both[0], asked.encode(shared), atol=1e-6)
            assert not torch.allclose(both[1], both[0], atol=1e-3)

    def test_so_many_prompts_that_memory_would_not_suffice_are_encoded_in_parts(self, tiny, monkeypatch) -> None:
        sizes = []

        def encode(ids: torch.Tensor, names: tuple[str, ...]) -> torch.Tensor:
            assert len(ids) == len(names)
            sizes.append(len(ids))
            return tiny.encode(ids, names)

        asked = Prompts(replace(tiny, encode=encode), NAMES, 2)
        first = torch.from_numpy(asked.first_contexts(0))

        def run() -> tuple[torch.Tensor, torch.Tensor]:
            contexts = torch.stack([first, 2 * first, 3 * first])[:, None].requires_grad_(True)
            rows = asked.encode(contexts)
            rows.square()[..., 0].sum().backward()
            assert contexts.grad is not None
            return rows.detach(), contexts.grad

        whole, slopes = run()
        assert sizes == [9]
        monkeypatch.setattr(prompt_tower, "_GRADIENT_NUMBERS", 4 * asked._ids.shape[1] * tiny.width)
        rows, again = run()
        assert sorted(sizes[1:]) == [1, 1, 4, 4, 4, 4]
        assert torch.allclose(rows, whole, atol=1e-6)
        assert torch.allclose(again, slopes, atol=1e-6)
        assert not tiny.embedding._forward_hooks

    def test_what_is_longer_than_the_context_window_is_refused(self, tiny) -> None:
        Prompts(tiny, ["horse"], 16)
        with pytest.raises(UsageError, match="18 context vectors and the class 'horse' exceed"):
            Prompts(tiny, ["horse"], 18)

    def test_encoders_that_cannot_learn_say_so(self) -> None:
        encoder = registry.load("fake", modalities=("text",))
        with pytest.raises(EncoderError, match="the encoder fake cannot learn prompts"):
            registry.load_prompt_tower("fake", encoder.fingerprint())


class TestLearning:
    @pytest.mark.parametrize(("per_class", "conditional"), [(False, False), (True, False), (False, True)])
    def test_the_same_seed_learns_the_same(self, tiny, per_class, conditional) -> None:
        rows = unit(np.random.default_rng(0).standard_normal((6, 24)))
        truth, weights = np.array([0, 1, 2, 0, 1, 2]), np.ones((1, 6))
        asked = Prompts(tiny, NAMES, 2)
        options = {"per_class": per_class, "conditional": conditional}
        (first,), (same,), (other,) = (
            next(learn_prompts(asked, rows, truth, weights, [3], seed=seed, **options)) for seed in (1, 1, 2)
        )
        assert first.contexts.shape == ((3, 2, 32) if per_class else (2, 32))
        assert np.array_equal(first.contexts, same.contexts)
        assert np.array_equal(first.logits(rows), same.logits(rows))
        assert not np.array_equal(first.contexts, other.contexts)
        assert bool(first.network) == conditional

    def test_what_is_learned_fits_the_pictures_better(self) -> None:
        tower, rows, truth = toy(noise=1.5)
        asked = Prompts(tower, NAMES, 4)
        losses = [
            np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1))
            - (logits - logits.max(1, keepdims=True))[np.arange(len(truth)), truth]
            for (one,) in learn_prompts(asked, rows, truth, np.ones((1, len(truth))), [1, 30], per_class=True)
            for logits in [one.logits(rows)]
        ]
        assert losses[1].mean() < 0.5 * losses[0].mean()

    def test_sets_learn_as_if_alone(self) -> None:
        tower, rows, truth = toy()
        weights = (np.arange(len(truth)) % 4 != np.arange(2)[:, None]).astype(float)
        asked = Prompts(tower, NAMES, 3)
        (together,) = learn_prompts(asked, rows, truth, weights, [10])
        alone = [next(learn_prompts(asked, rows, truth, one[None], [10]))[0] for one in weights]
        for one, other in zip(together, alone, strict=True):
            assert np.allclose(one.contexts, other.contexts, atol=1e-4)
        assert not np.allclose(together[0].contexts, together[1].contexts, atol=1e-3)

    def test_prompts_of_a_picture_depend_on_it(self) -> None:
        tower, rows, truth = toy(noise=1.0)
        (found,) = next(
            learn_prompts(Prompts(tower, NAMES, 4), rows, truth, np.ones((1, len(truth))), [30], conditional=True)
        )
        assert accuracy(found.logits(rows), truth) > 0.9
        alone = np.concatenate([found.logits(row[None]) for row in rows])
        assert np.allclose(alone, found.logits(rows), atol=1e-4)
        still = found.scale * rows @ found.class_vectors().T
        assert np.abs(still - found.logits(rows)).max() > 0.01


class TestChoice:
    def test_prompts_are_chosen_where_names_say_more_than_pictures(self) -> None:
        tower, rows, truth = toy(dim=64, each=3, noise=0.35)
        groups = np.arange(len(truth))
        learners = [PromptLearner(tower, NAMES, kind, 4, False) for kind in ("coop", "cocoop")]
        found = select_model(rows, truth, 3, groups, learners=learners[:1])
        assert [one.method for one in found.results] == ["linear", "cache", "coop"]
        assert found.scorer.name == found.best.method == "coop"
        assert isinstance(found.scorer, ClassPrompts)
        assert found.best.settings["steps"] in prompt_learning.STEPS
        others = select_model(rows, truth, 3, groups, methods=["cache"], learners=learners)
        assert [(one.method, one.tested) for one in others.results] == [("cache", 9), ("coop", 9), ("cocoop", 9)]

    def test_one_method_alone(self) -> None:
        _, rows, truth = toy()
        found = select_model(rows, truth, 3, np.arange(len(truth)), methods=["cache"])
        assert found.scorer.name == "cache"
        assert len(found.results) == 1

    def test_one_picture_of_each_class_shows_nothing(self) -> None:
        tower, rows, truth = toy(each=1)
        with pytest.raises(UsageError, match="nothing would show that prompts help"):
            select_model(rows, truth, 3, np.arange(3), learners=[PromptLearner(tower, NAMES, "coop", 4, False)])

    def test_two_pictures_of_each_class_are_held_out_in_turn(self) -> None:
        tower, rows, truth = toy(each=2)
        assert model_selection.FOLDS > 2
        found = select_model(rows, truth, 3, np.arange(6), learners=[PromptLearner(tower, NAMES, "coop", 4, False)])
        assert found.results[-1].tested == 6

    def test_pictures_that_would_take_too_long_to_judge_are_refused(self, monkeypatch) -> None:
        tower, rows, truth = toy()
        monkeypatch.setattr(prompt_learning, "MAX_SECONDS", 1e-9)
        with pytest.raises(UsageError, match="36 runs of the text tower"):
            select_model(rows, truth, 3, np.arange(12), learners=[PromptLearner(tower, NAMES, "cocoop", 4, False)])

    def test_too_many_classes_are_refused(self) -> None:
        tower, *_ = toy()
        with pytest.raises(UsageError, match="201 classes are too many"):
            PromptLearner(tower, ["apple"] * 201, "coop", 4, False)


class TestStoredScorers:
    def test_prompts_of_pictures_come_back_and_are_bounded_in_time(self, monkeypatch) -> None:
        tower, rows, truth = toy()
        learner = PromptLearner(tower, NAMES, "cocoop", 4, False)
        weights = np.ones((1, len(truth)))
        ((settings, (made,)),) = learner.learn(rows, truth, np.arange(3), weights, 0, steps=[5])
        back = PicturePrompts.of_arrays(made.arrays(), settings, NAMES, lambda: tower)
        assert np.allclose(back.logits(rows), made.logits(rows), atol=1e-6)
        back.check_time(1000)
        monkeypatch.setattr(prompt_learning, "MAX_SECONDS", 1e-9)
        with pytest.raises(UsageError, match="3,000 runs of the text tower"):
            back.check_time(1000)

    def test_arrays_that_do_not_fit_are_refused(self) -> None:
        tower, rows, truth = toy()
        learner = PromptLearner(tower, NAMES, "cocoop", 4, False)
        ((settings, (made,)),) = learner.learn(rows, truth, np.arange(3), np.ones((1, len(truth))), 0, steps=[1])
        arrays = made.arrays()
        for name, wrong in (("outer", arrays["outer"].T), ("inner_bias", arrays["outer_bias"])):
            with pytest.raises(ValueError, match="do not fit together"):
                PicturePrompts.of_arrays({**arrays, name: wrong}, settings, NAMES, lambda: tower)
        other, *_ = toy(dim=8)
        with pytest.raises(CorruptCollectionError, match="another length than tokens of toy"):
            PicturePrompts.of_arrays(arrays, settings, NAMES, lambda: other).logits(rows)

    def test_a_later_version_is_refused(self) -> None:
        prompt_learning.check_version({"method": "coop", "version": prompt_learning.VERSION}, "pets")
        with pytest.raises(CorruptCollectionError, match="the probe pets was learned by a later imseek"):
            prompt_learning.check_version({"method": "coop", "version": prompt_learning.VERSION + 1}, "pets")
        with pytest.raises(CorruptCollectionError, match="the model pets is not a probe"):
            probe_store.probe_of(Path(), Model("pets", "probe", {"method": "coop", "version": "2"}, {}))
