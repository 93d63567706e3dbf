"""The catalogue: what it says is what the libraries say, and what is ours is complete."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from imseek.encoders import PRESETS, find_encoder, licences, list_encoders
from imseek.encoders.catalogue import DATA, families, make, near_matches
from imseek.ui.render.encoders_page import page

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
ROWS = {row["reference"]: row for row in json.loads(DATA.read_text(encoding="utf-8"))}


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    return make.rows()


def test_the_file_is_what_the_libraries_say(rows: list[dict[str, Any]]) -> None:
    """All but what is counted: that takes minutes for all, and a test below does it for some."""
    assert list(ROWS) == [row["reference"] for row in rows]
    for row in rows:
        written = ROWS[row["reference"]]
        uncounted = {key: value for key, value in row.items() if key != "bytes_per_number"}
        assert uncounted == {key: written[key] for key in uncounted}, "run `make catalogue`"


# (parameters in millions of the image tower and of the text tower, 10⁹ operations of each), as open_clip publishes
# them for the same architectures: docs/model_profile.csv of its repository. Of XLM-R and NLLB the operations there
# are for 512 tokens.
PUBLISHED = {
    "openclip:ViT-B-32-256/datacomp_s34b_b86k": (87.86, 63.43, 11.5, 5.96),
    "openclip:RN50-quickgelu/openai": (38.32, 63.69, 12.22, 5.96),
    "openclip:ViT-L-14-336-quickgelu/openai": (304.29, 123.65, 381.92, 13.3),
    "openclip:ViT-bigG-14/laion2b_s39b_b160k": (1844.91, 694.66, 967.5, 97.86),
    "openclip:convnext_base_w/laion2b_s13b_b82k": (88.22, 91.16, 40.11, 9.27),
    "openclip:convnext_xxlarge/laion2b_s34b_b82k_augreg_soup": (846.54, 354.03, 395.94, 47.09),
    "openclip:ViT-B-16-SigLIP/webli": (92.88, 110.27, 35.42, 11.02),
    "openclip:ViT-SO400M-14-SigLIP-384/webli": (428.23, 449.73, 670.35, 53.13),
    "openclip:EVA01-g-14-plus/merged2b_s11b_b114k": (1012.59, 354.03, 534.06, 47.09),
    "openclip:EVA02-E-14-plus/laion2b_s9b_b144k": (4350.56, 694.33, 2264.33, 97.86),
    "openclip:ViT-H-14-CLIPA-336/datacomp1b": (632.48, 336.16, 781.45, 19.43),
    "openclip:coca_ViT-L-14/laion2b_s13b_b90k": (306.72, 123.65, 163.64, 13.3),
    "openclip:roberta-ViT-B-32/laion2b_s12b_b32k": (87.85, 124.87, 8.82, None),
    "openclip:xlm-roberta-base-ViT-B-32/laion5b_s13b_b90k": (87.85, 278.27, 8.82, None),
    "openclip:xlm-roberta-large-ViT-H-14/frozen_laion5b_s13b_b90k": (632.08, 560.94, 334.59, None),
    "openclip:nllb-clip-base/v1": (87.85, 414.04, 8.82, None),
    "openclip:nllb-clip-large-siglip/v1": (428.23, 767.27, 670.35, None),
}


@pytest.mark.parametrize("reference", PUBLISHED)
def test_counts_are_those_that_open_clip_publishes(reference: str) -> None:
    entry = find_encoder(reference)
    assert entry is not None
    image, text, image_gflops, text_gflops = PUBLISHED[reference]
    assert entry.image_parameters / 1e6 == pytest.approx(image, abs=0.006)
    assert entry.text_parameters is not None
    assert entry.text_parameters / 1e6 == pytest.approx(text, abs=0.006)
    assert entry.image_gflops == pytest.approx(image_gflops, rel=0.003)
    if text_gflops is not None:
        assert entry.text_gflops == pytest.approx(text_gflops, rel=0.003)


# Millions of parameters of the image tower and of the text tower, as the card of google/tipsv2-l14 lists them (of g/14
# to two digits), and of both, to a digit, as the hub lists them for Meta CLIP 2.
STATED = {
    "transformers:google/tipsv2-b14": (86, 110),
    "transformers:google/tipsv2-l14": (303, 184),
    "transformers:google/tipsv2-so400m14": (412, 448),
    "transformers:google/tipsv2-g14": (1100, 389),
    "transformers:facebook/metaclip-2-worldwide-s16": 400,
    "transformers:facebook/metaclip-2-worldwide-m16": 500,
    "transformers:facebook/metaclip-2-worldwide-b32": 600,
    "transformers:facebook/metaclip-2-worldwide-b16": 600,
    "transformers:facebook/metaclip-2-worldwide-l14": 1000,
    "transformers:facebook/metaclip-2-mt5-worldwide-s16": 100,
    "transformers:facebook/metaclip-2-mt5-worldwide-m16": 200,
    "transformers:facebook/metaclip-2-mt5-worldwide-b32": 300,
}


@pytest.mark.parametrize("reference", STATED)
def test_counts_are_those_that_cards_state(reference: str) -> None:
    entry = find_encoder(reference)
    assert entry is not None
    assert entry.text_parameters is not None
    stated = STATED[reference]
    if isinstance(stated, int):
        assert (entry.image_parameters + entry.text_parameters) / 1e6 == pytest.approx(stated, abs=100)
        return
    assert entry.image_parameters / 1e6 == pytest.approx(stated[0], rel=0.04)
    assert entry.text_parameters / 1e6 == pytest.approx(stated[1], rel=0.01)


def test_naflex_counts_as_the_same_towers_in_open_clip() -> None:
    for naflex, square in (
        ("google/siglip2-base-patch16-naflex", "ViT-B-16-SigLIP2-256"),
        ("google/siglip2-so400m-patch16-naflex", "ViT-SO400M-16-SigLIP2-256"),
    ):
        ours, other = find_encoder(f"transformers:{naflex}"), find_encoder(f"openclip:{square}/webli")
        assert ours is not None
        assert other is not None
        assert ours.image_parameters == pytest.approx(other.image_parameters, rel=0.003)
        assert ours.text_parameters == other.text_parameters
        assert ours.image_gflops == pytest.approx(other.image_gflops, rel=0.02)


# bytes of open_clip_model.safetensors or open_clip_pytorch_model.bin as the hub's pages list them, to 1 %
LISTED = {
    "openclip:PE-Core-S-16-384/meta": 349e6,
    "openclip:nllb-clip-base/v1": 2.01e9,
    "openclip:coca_ViT-L-14/laion2b_s13b_b90k": 2.55e9,
    "hf-hub:timm/vit_medium_patch32_clip_224.tinyclip_laion400m": 168e6,
    "openclip:LongCLIP-B-32/sharegpt4v": 606e6,
    "openclip:LongCLIP-L/sharegpt4v": 1.71e9,
    "openclip:EVA-CLIP-8B/merged2b": 32.9e9,
    "openclip:EVA-CLIP-18B/merged2b": 36.7e9,
}


@pytest.mark.parametrize("reference", LISTED)
def test_download_sizes_are_those_that_the_hub_lists(reference: str) -> None:
    entry = find_encoder(reference)
    assert entry is not None
    assert entry.download_bytes == pytest.approx(LISTED[reference], rel=0.01)


@pytest.mark.parametrize("reference", ["openclip:PE-Core-T-16-384/meta", "openclip:ViT-B-32/laion2b_e16"])
def test_counting_gives_what_the_file_says(reference: str, rows: list[dict[str, Any]]) -> None:
    (row,) = make.add_counts([dict(row) for row in rows if row["reference"] == reference])
    assert row == ROWS[reference]


def test_each_family_of_the_issue_is_there() -> None:
    assert set(families()) == {
        *("OpenAI CLIP", "OpenCLIP", "SigLIP", "SigLIP 2", "EVA01-CLIP", "EVA02-CLIP", "CLIPA", "MetaCLIP"),
        *("Meta CLIP 2", "DataComp", "DFN", "CoCa", "MobileCLIP", "MobileCLIP 2", "PE-Core", "NLLB-CLIP"),
        *("XLM-R CLIP", "ALIGN", "DINOv2", "DINOv3", "TinyCLIP", "ViTamin", "TIPSv2", "Long-CLIP", "EVA-CLIP"),
    }
    openai = {entry.reference for entry in list_encoders() if entry.family == "OpenAI CLIP"}
    sizes = (
        "RN50",
        "RN101",
        "RN50x4",
        "RN50x16",
        "RN50x64",
        "ViT-B-32",
        "ViT-B-16",
        "ViT-L-14",
        "ViT-L-14-336",
    )
    assert openai == {f"openclip:{size}-quickgelu/openai" for size in sizes}


def test_no_rule_is_left_over() -> None:
    repositories = {entry.repository for entry in list_encoders()}
    for n, rule in enumerate(licences.rules()):
        earlier = licences.rules()[:n]
        assert any(
            fnmatchcase(repository, rule.repository)
            and not any(fnmatchcase(repository, other.repository) for other in earlier)
            for repository in repositories
        ), rule.repository


SPDX = {"MIT", "Apache-2.0"}


def test_licences_are_spdx_or_say_why_not() -> None:
    for rule in licences.rules():
        if rule.licence == licences.RESTRICTED:
            assert rule.licence_name, rule.repository
        elif rule.licence != licences.NOT_VERIFIED:
            assert rule.licence in SPDX, rule.repository
        assert (rule.source is None) == (rule.licence == licences.NOT_VERIFIED), rule.repository


def test_licences_are_those_of_timms_registry() -> None:
    """timm's authors made the repositories under its name, and those of others whose image towers it loads."""
    from timm.models import get_pretrained_cfg, list_pretrained

    configs = [get_pretrained_cfg(name) for name in list_pretrained()]
    known = {config.hf_hub_id: config.license for config in configs if config.hf_hub_id and config.license}
    compared = 0
    for entry in list_encoders():
        licence = known.get(entry.repository)
        if licence is None:
            continue
        compared += 1
        restricted = licence.startswith(("apple", "cc-by-nc", "dinov3"))
        assert (entry.licence == licences.RESTRICTED) == restricted, entry.reference
        if not restricted:
            assert entry.licence.lower() == licence, entry.reference
    assert compared > 50


@pytest.mark.parametrize(
    "reference",
    [
        "openclip:MobileCLIP-S1/datacompdr",
        "openclip:MobileCLIP2-S0/dfndr2b",
        "openclip:ViT-H-14-378-quickgelu/dfn5b",
        "openclip:nllb-clip-base/v1",
        "openclip:ViT-B-32-quickgelu/metaclip_400m",
        "openclip:ViT-H-14-worldwide-quickgelu/metaclip2_worldwide",
        "align:kakaobrain/align-base",  # its card names none
        "transformers:facebook/metaclip-2-worldwide-b32",
        "timm:vit_small_patch16_dinov3.lvd1689m",
    ],
)
def test_these_are_not_for_any_use(reference: str) -> None:
    entry = find_encoder(reference)
    assert entry is not None
    assert not entry.any_use


def test_presets_are_in_the_catalogue_and_for_any_use() -> None:
    assert list(PRESETS) == ["default", "fast", "multilingual", "best"]
    for name, preset in PRESETS.items():
        entry = find_encoder(name)
        assert entry is not None
        assert entry == find_encoder(preset.reference)
        assert entry.any_use, name
        assert entry.modalities == ("image", "text")
    default, fast, multilingual, best = (find_encoder(name) for name in PRESETS)
    assert default is not None and fast is not None and multilingual is not None and best is not None  # noqa: PT018
    assert fast.image_gflops < default.image_gflops / 2.5
    assert multilingual.languages == best.languages == "109 languages"


def test_what_is_fetched() -> None:
    def names(reference: str) -> list[tuple[str, int]]:
        entry = find_encoder(reference)
        assert entry is not None
        return [(part.repository, len(part.names)) for part in entry.parts]

    assert names("default") == [("laion/CLIP-ViT-B-32-256x256-DataComp-s34B-b86K", 2)]
    assert names("multilingual") == [("timm/ViT-B-16-SigLIP2-256", 2), ("timm/ViT-B-16-SigLIP2-256", 10)]
    assert names("openclip:nllb-clip-base/v1") == [
        ("visheratin/nllb-clip-base-oc", 2),
        ("facebook/nllb-200-distilled-600M", 10),
    ]
    assert names("timm:vit_small_patch14_dinov2.lvd142m") == [("timm/vit_small_patch14_dinov2.lvd142m", 2)]
    assert names("align:kakaobrain/align-base")[1] == ("kakaobrain/align-base", 1)
    assert names("transformers:google/tipsv2-b14")[1] == ("google/tipsv2-b14", 1)
    assert names("openclip:LongCLIP-B/sharegpt4v") == [("BeichenZhang/LongCLIP-B", 2)]


def test_near_matches() -> None:
    assert near_matches("openclip:ViT-B-32-256/datacomp_s34b")[0] == "openclip:ViT-B-32-256/datacomp_s34b_b86k"
    assert near_matches("zzzzzz") == []


def test_reading_it_imports_no_network_library() -> None:
    script = (
        "import sys; from imseek.encoders import list_encoders\n"
        "heavy = {'torch', 'open_clip', 'timm', 'transformers', 'httpx2', 'huggingface_hub.file_download'}\n"
        "print(sum(entry.is_cached for entry in list_encoders()))\n"
        "print(heavy & set(sys.modules))"
    )
    environment = {**os.environ, "HF_HUB_CACHE": "/nowhere"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout == "0\nset()\n"


def test_docs_encoders_is_current() -> None:
    written = (ROOT / "docs" / "encoders.md").read_text(encoding="utf-8")
    assert written == page(written), "run `make encoder-docs`"
